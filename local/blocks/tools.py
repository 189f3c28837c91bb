"""What recipes of public tools share: a tool gives the voice, and the noise is what it removed."""

from typing import ClassVar

import numpy as np
import torch
from asteroid.models import BaseModel
from torch.nn import functional as F

from local.base import audio


class Tool(BaseModel):
    """A tool that gives the voice of one recording; the noise is the mixture minus the voice.

    A mixture at another rate than the tool's is resampled, and the voice back. A subclass has
    ``voice_of`` and takes what ``arguments`` names.

    Args:
        sample_rate: Hz, of the mixture.
        arguments: further arguments of the subclass, for ``get_model_args``.

    Attributes:
        rate: Hz, at which the tool works.
    """

    rate: ClassVar[int] = 16000

    def __init__(self, sample_rate=16000, **arguments):
        super().__init__(sample_rate=sample_rate)
        self.arguments = {"sample_rate": sample_rate, **arguments}

    def voice_of(self, samples: np.ndarray) -> np.ndarray:
        """float32 (time,) at ``rate`` -> the voice, (time,), in time with it."""
        raise NotImplementedError

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        rate = int(self.sample_rate)
        # one by one: resampling a batch rounds otherwise, and a tool may make more of that
        heard = [self.resample(example, rate, self.rate).cpu().numpy() for example in mix]
        voices = [torch.from_numpy(self.voice_of(example)).to(mix) for example in heard]
        voice = torch.stack([self.resample(voice, self.rate, rate) for voice in voices])
        voice = voice[:, : mix.shape[-1]]
        return torch.stack((voice, mix - voice), 1)

    def resample(self, x: torch.Tensor, rate: int, rate_out: int) -> torch.Tensor:
        """(..., time) at another rate: for a tool that minds how."""
        return audio.resample(x, rate, rate_out)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


class FrameTool(Tool):
    """A tool that takes and gives a block of samples at a time, and can so run live.

    A subclass has ``begin`` and ``denoise``. Every recording starts with a new state.

    Attributes:
        block: samples at ``rate`` that it takes and gives at a time.
        delay: samples at ``rate`` by which what it gives is late.
    """

    block: ClassVar[int]
    delay: ClassVar[int]

    def begin(self):
        """The state before the first block of a recording."""
        raise NotImplementedError

    def denoise(self, block: np.ndarray, state) -> tuple[np.ndarray, object]:
        """float32 (block,) -> the voice of ``delay`` samples before, (block,), and the new state.

        The state that was given may change and is not used again.
        """
        raise NotImplementedError

    def voice_of(self, samples: np.ndarray) -> np.ndarray:
        """float32 (time,) at ``rate`` -> the voice, (time,), without the delay."""
        time = len(samples)
        blocks = np.zeros((-(-(time + self.delay) // self.block), self.block), np.float32)
        blocks.reshape(-1)[:time] = samples
        state = self.begin()
        for i, block in enumerate(blocks):
            blocks[i], state = self.denoise(block, state)
        return blocks.reshape(-1)[self.delay : self.delay + time]

    @property
    def latency(self) -> int | None:
        """Samples by which ``step`` is late; None: not at the tool's rate, it cannot run live."""
        return self.delay if int(self.sample_rate) == self.rate else None

    def start(self, batch: int) -> tuple:
        """The state before the first sample, for ``step``: of each channel, and the last input."""
        return tuple(self.begin() for _ in range(batch)), torch.zeros(batch, self.delay)

    def step(self, block: torch.Tensor, state: tuple) -> tuple[torch.Tensor, tuple]:
        """Process the next block of a live recording.

        Args:
            block: (batch, block).
            state: of ``start``, or of the step before.

        Returns:
            (batch, source, block), the estimates of ``latency`` samples before; the new state.
        """
        states, waiting = state
        pairs = [self.denoise(channel, each)
                 for channel, each in zip(block.cpu().numpy(), states, strict=True)]  # fmt: skip
        voice = torch.from_numpy(np.stack([voice for voice, _ in pairs])).to(block)
        heard = torch.cat((waiting.to(block), block), 1)
        mix = heard[:, : self.block]
        estimates = torch.stack((voice, mix - voice), 1)
        return estimates, (tuple(each for _, each in pairs), heard[:, self.block :])

    def finish(self, state: tuple) -> torch.Tensor:
        """(batch, source, latency): the estimates of the last samples that went in."""
        silence = F.pad(state[1][:, :0], (0, self.block))
        out = []
        for _ in range(-(-self.delay // self.block)):
            estimates, state = self.step(silence, state)
            out.append(estimates)
        return torch.cat(out, -1)[..., : self.delay]

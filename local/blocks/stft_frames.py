"""An STFT and its inverse, frame by frame, for live signals."""

import torch
from torch.nn import functional as F

from local.blocks.stft import STFT

STATE = 4  # tensors in the state of Frames


class Frames:
    """``STFT.parts`` and ``STFT.inverse_parts``, one hop of samples at a time.

    Each step takes a block of ``block`` samples. The frame that it completes is centred ``ahead``
    hops before the block. The step returns the samples that no later frame changes.
    The state between steps is a tuple of tensors: ``index`` of the next frame (int64, below 0
    before the first), ``recent`` (batch, time), the input that the frame is cut from, and the
    overlap-added frames ``sums`` and squared windows ``weight``, (batch, time) and (time,).

    Args:
        stft: the transform, whose window and device are used.

    Attributes:
        block: samples that go in and come out at every step, the hop.
        ahead: hops between a frame's centre and the block that completes it.
        latency: samples by which the output lags the input.
    """

    def __init__(self, stft: STFT):
        self.stft = stft
        self.block = stft.hop
        self.ahead = -(-stft.fft // (2 * stft.hop)) - 1
        self.latency = self.ahead * stft.hop + stft.fft // 2

    def start(self, batch: int) -> tuple[torch.Tensor, ...]:
        """The state before the first sample."""
        zeros, fft = self.stft.window.new_zeros, self.stft.fft
        index = torch.tensor(-self.ahead, device=self.stft.window.device)
        recent = zeros(batch, self.latency + self.block)
        return index, recent, zeros(batch, fft - self.block), zeros(fft - self.block)

    def push(self, block: torch.Tensor, state: tuple) -> tuple[torch.Tensor, torch.Tensor, tuple]:
        """Take a block.

        Args:
            block: (batch, block).
            state: of ``start``, or of the step before.

        Returns:
            the frame's parts (batch, 2, frequency, 1); the input (batch, block) of ``latency``
            samples before, at which ``pull`` gives the output; the new state.
        """
        index, recent, sums, weight = state
        recent = torch.cat((recent[:, self.block :], block), 1)
        spectrum = torch.fft.rfft(recent[:, : self.stft.fft] * self.stft.taper)
        parts = torch.view_as_real(spectrum).transpose(1, 2).unsqueeze(-1)
        return parts, recent[:, : self.block], (index + 1, recent, sums, weight)

    def pull(self, parts: torch.Tensor, state: tuple) -> tuple[torch.Tensor, tuple]:
        """Give the block that a changed frame completes.

        Args:
            parts: of ``push``, changed.
            state: of ``push``.

        Returns:
            (batch, block); the new state.
        """
        index, recent, sums, weight = state
        taper = self.stft.taper * self.begun(state)
        spectrum = torch.complex(*parts[..., 0].unbind(1))
        frame = torch.fft.irfft(spectrum, self.stft.fft) * taper
        sums = F.pad(sums, (0, self.block)) + frame
        weight = F.pad(weight, (0, self.block)) + taper.square()
        out = self._divided(sums[:, : self.block], weight[: self.block])
        return out, (index, recent, sums[:, self.block :], weight[self.block :])

    def begun(self, state: tuple) -> torch.Tensor:
        """Whether the frame in a state of ``push`` lies in the recording, not before it."""
        return state[0] > 0

    def rest(self, state: tuple) -> tuple[torch.Tensor, torch.Tensor]:
        """The remaining samples after the last frame, that is after ``ahead + 1`` blocks of zeros.

        Returns:
            the output and the input that it belongs to, (batch, latency - (ahead + 1) * block).
        """
        _, recent, sums, weight = state
        half = self.stft.fft // 2
        left = half - self.block
        return self._divided(sums[:, :left], weight[:left]), recent[:, self.block : half]

    def _divided(self, sums: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        # the weight is 0 only before the first sample of the recording
        return sums / weight.clamp(min=1e-6)


class VoiceLive:
    """A network that makes each frame of the voice from those up to it, whole and live.

    The noise is the mixture minus the voice. The network has ``frames``, of the class above, and:

    - ``memory(batch)``: tensors, what it remembers before the first frame;
    - ``voice(parts, memory) -> (parts, memory)``: the voice's parts (batch, 2, frequency, frame)
      of the mixture's; what it remembers after the last frame.
    """

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        stft = self.frames.stft
        parts = stft.parts(mix)
        voice, _ = self.voice(parts, self.memory(mix.shape[0]))
        voice = stft.inverse_parts(voice, mix.shape[-1])
        return torch.stack((voice, mix - voice), 1)

    @property
    def block(self) -> int:
        """Samples that ``step`` takes and gives."""
        return self.frames.block

    @property
    def latency(self) -> int | None:
        """Samples by which the output of ``step`` lags its input."""
        return self.frames.latency

    def start(self, batch: int) -> tuple[torch.Tensor, ...]:
        """The state before the first sample, for ``step``."""
        return *self.frames.start(batch), *self.memory(batch)

    def step(self, block: torch.Tensor, state: tuple) -> tuple[torch.Tensor, tuple]:
        """Process the next block of a live recording.

        Args:
            block: (batch, block).
            state: of ``start``, or of the step before.

        Returns:
            (batch, source, block), the estimates of ``latency`` samples before; the new state.
        """
        frames, memory = state[:STATE], state[STATE:]
        parts, mix, frames = self.frames.push(block, frames)
        voice, changed = self.voice(parts, memory)
        begun = self.frames.begun(frames)  # a frame before the recording leaves no memory
        memory = [torch.where(begun, *pair) for pair in zip(changed, memory, strict=True)]
        voice, frames = self.frames.pull(voice, frames)
        return torch.stack((voice, mix - voice), 1), (*frames, *memory)

    def finish(self, state: tuple) -> torch.Tensor:
        """(batch, source, latency): the estimates of the last samples that went in."""
        silence, out = torch.zeros_like(state[1][:, : self.block]), []
        for _ in range(self.frames.ahead + 1):
            estimates, state = self.step(silence, state)
            out.append(estimates)
        voice, mix = self.frames.rest(state[:STATE])
        return torch.cat((*out, torch.stack((voice, mix - voice), 1)), -1)

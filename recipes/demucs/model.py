"""Demucs (Défossez et al. 2019): a U-Net on the waveform with LSTM layers in its middle."""

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F
from torchaudio.transforms import Resample

REFERENCE = 0.1  # deviation towards which the first weights are scaled
FLOOR = 1e-3  # added to the level that divides the mixture, -60 dB of full scale
GROWTH = 2  # channels of a block over those of the block above it
LAYERS = 2  # of the LSTM
CROSSINGS = 24  # zero crossings of the resampler's filter on either side


class Demucs(BaseModel):
    """Blocks of strided convolutions down, LSTM layers, blocks of transposed ones up.

    The waveform has a higher rate inside. A block down is a strided convolution, a ReLU, and a
    convolution of one step with a gated linear unit. A block up adds its counterpart's output and
    is a convolution with a gated linear unit and a transposed one. Signals are padded with zeros
    to a length that fits the blocks (``lengths``).

    Args:
        n_src: sources.
        channels: of the first block; each block has twice those of the one above it.
        depth: blocks down and blocks up.
        kernel_size, stride: steps of the convolutions that change the resolution.
        context: steps of the other convolutions of the blocks up, odd; 1 for no look-ahead.
        resample: the rate inside over that of the recording.
        bidirectional: whether the LSTM layers look ahead too.
        normalise: the deviation that divides the mixture and multiplies the estimates: of the
            ``whole``, of all samples so far (``cumulative``), or ``none``.
        batch_norm: whether a batch normalisation follows the first convolution of every block; the
            paper has none.
        sample_rate: Hz.

    Raises:
        ValueError: a context of even length, or a kernel shorter than its stride.
    """

    def __init__(
        self, n_src, channels=64, depth=6, kernel_size=8, stride=4, context=3, resample=2,
        bidirectional=True, normalise="whole", batch_norm=False, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        if kernel_size < stride:
            raise ValueError(f"kernel_size {kernel_size}: less than the stride {stride}, so that"
                             " some samples would not be seen")  # fmt: skip
        if not context % 2:
            raise ValueError(f"context {context}: an odd number of steps")
        self.arguments = {
            "n_src": n_src, "channels": channels, "depth": depth, "kernel_size": kernel_size,
            "stride": stride, "context": context, "resample": resample,
            "bidirectional": bidirectional, "normalise": normalise, "batch_norm": batch_norm,
            "sample_rate": sample_rate,
        }  # fmt: skip
        self.kernel_size, self.stride, self.context = kernel_size, stride, context
        self.resample, self.normalise = resample, normalise
        self.raise_rate = Resample(1, resample, lowpass_filter_width=CROSSINGS)
        self.lower_rate = Resample(resample, 1, lowpass_filter_width=CROSSINGS)
        widths = [channels * GROWTH**i for i in range(depth)]
        self.down = nn.ModuleList(
            nn.Sequential(
                *_normed(nn.Conv1d(above, here, kernel_size, stride), batch_norm),
                nn.ReLU(inplace=True),
                nn.Conv1d(here, 2 * here, 1), nn.GLU(1),
            )
            for above, here in zip([1, *widths[:-1]], widths, strict=True)
        )  # fmt: skip
        self.recurrent = nn.LSTM(
            widths[-1], widths[-1], LAYERS, batch_first=True, bidirectional=bidirectional
        )
        self.merge = nn.Linear(2 * widths[-1], widths[-1]) if bidirectional else nn.Identity()
        self.up = nn.ModuleList(
            nn.Sequential(
                *_normed(nn.Conv1d(here, 2 * here, context), batch_norm), nn.GLU(1),
                nn.ConvTranspose1d(here, above, kernel_size, stride),
            )
            for above, here in zip([n_src, *widths[:-1]][::-1], widths[::-1], strict=True)
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                _rescale(module)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        time = mix.shape[-1]
        level = self._level(mix)
        x = self.raise_rate(mix / (level + FLOOR))
        length, before = self.lengths(x.shape[-1])
        x = F.pad(x, (before, length - before - x.shape[-1])).unsqueeze(1)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.merge(self.recurrent(x.transpose(1, 2))[0]).transpose(1, 2)
        for i, block in enumerate(self.up):
            skip = skips.pop()
            x = block(x + skip.narrow(-1, (skip.shape[-1] - x.shape[-1]) // 2, x.shape[-1]))
            if i < len(self.up) - 1:
                x = F.relu(x, inplace=True)
        x = self.lower_rate(x[..., : self.resample * time])
        return x.float() * level.unsqueeze(1)

    def lengths(self, time: int) -> tuple[int, int]:
        """Samples that the blocks need for ``time`` of output, and those before the first output.

        Both at the rate inside.
        """
        margin = self.context - 1  # steps that a block up loses, half of them at either end
        steps = time
        for _ in self.down:
            steps = max(1, -(-(steps - self.kernel_size) // self.stride) + 1) + margin
        length, before = steps, 0
        for _ in self.down:
            length = (length - 1) * self.stride + self.kernel_size
            before = (before + margin // 2) * self.stride
        return length, before

    @property
    def look_ahead(self) -> int | None:
        """Largest number of later samples of the mixture that an estimated sample depends on.

        None without a limit: the LSTM or the level needs the whole recording.
        """
        if self.arguments["bidirectional"] or self.normalise == "whole":
            return None
        # a sample is in a step of the lowest resolution at whose beginning it is at the earliest
        seen, margin = 1, (self.context - 1) // 2
        for _ in self.down:
            seen = (seen - 1) * self.stride + self.kernel_size
        inside = seen - 1 + margin * sum(self.stride ** (i + 1) for i in range(len(self.down)))
        if self.resample == 1:
            return inside
        filtered = self.lower_rate.width + self.resample - 1  # samples inside, on the way back
        return (filtered + inside) // self.resample + self.raise_rate.width

    def _level(self, mix: torch.Tensor) -> torch.Tensor:
        """What the mixture (batch, time) is divided by: (batch, 1), or (batch, time)."""
        if self.normalise == "whole":
            return mix.std(-1, keepdim=True, correction=0)
        if self.normalise == "cumulative":
            count = torch.arange(1, mix.shape[-1] + 1, device=mix.device)
            return (mix.float().square().cumsum(-1) / count).sqrt()
        return mix.new_ones(1, 1)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


def _normed(convolution: nn.Conv1d, batch_norm: bool) -> list[nn.Module]:
    """A convolution, and what normalises its output, if asked for."""
    return [convolution, *([nn.BatchNorm1d(convolution.out_channels)] if batch_norm else [])]


@torch.no_grad()
def _rescale(convolution: nn.Module) -> None:
    """Scale first weights towards one deviation in all layers, as in the paper."""
    scale = (convolution.weight.std() / REFERENCE).sqrt()
    convolution.weight /= scale
    convolution.bias /= scale

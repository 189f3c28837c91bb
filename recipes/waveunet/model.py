"""Wave-U-Net (Stoller, Ewert and Dixon 2018): a U-Net of one-dimensional convolutions."""

from itertools import pairwise

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local.blocks import level
from local.blocks.first_weights import begin_with_mixture, keep_level

SLOPE = 0.2  # of the LeakyReLU below zero: the authors' code


class WaveUNet(BaseModel):
    """The paper's table 1: convolve and drop every other step, then interpolate and convolve.

    The signal is padded so that every feature map has an odd number of steps (``frames``).
    Decimation then keeps the first and the last, and interpolation is always between two steps
    (section 3.2.2).

    Args:
        n_src: sources, the last of which is the mixture minus the others if ``difference``.
        levels: times that the resolution is halved.
        features: the paper's F_c: a level has this many more filters than the one above it.
        kernel_down: steps of the filters on the way down, odd.
        kernel_up: steps of the filters on the way up, odd.
        upsampling: ``linear``: the mean of two neighbours between them; ``learned``: a weighted
            mean, with a weight for every feature (section 3.2.4).
        context: convolutions without padding: zeros extend only the mixture, not every feature
            map, and the output leaves out their surroundings (section 3.2.2).
        difference: whether the last source is the mixture minus the others (section 3.2.1).
        normalise: whether the network gets the mixture at a root mean square of 1, and its
            estimates are brought back to the mixture's level.
        bounded: whether a tanh keeps the estimates within full scale, as in the paper.
        batch_norm: whether a batch normalisation follows every convolution but the last.
        sample_rate: Hz.

    Raises:
        ValueError: a kernel of even length.
    """

    def __init__(
        self, n_src, levels=12, features=24, kernel_down=15, kernel_up=5, upsampling="linear",
        context=False, difference=True, normalise=False, bounded=True, batch_norm=False,
        sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        if not kernel_down % 2 or not kernel_up % 2:
            raise ValueError(f"kernels {kernel_down} and {kernel_up}: odd numbers of steps")
        self.arguments = {
            "n_src": n_src, "levels": levels, "features": features, "kernel_down": kernel_down,
            "kernel_up": kernel_up, "upsampling": upsampling, "context": context,
            "difference": difference, "normalise": normalise, "bounded": bounded,
            "batch_norm": batch_norm, "sample_rate": sample_rate,
        }  # fmt: skip
        self.levels, self.context, self.difference = levels, context, difference
        self.normalise, self.bounded, self.batch_norm = normalise, bounded, batch_norm
        self.kernels = kernel_down, kernel_up
        channels = [1, *(features * (level + 1) for level in range(levels + 1))]
        *down, self.bottom = (
            self._convolution(above, here, kernel_down) for above, here in pairwise(channels)
        )
        self.down = nn.ModuleList(down)
        upwards = list(pairwise(channels[:0:-1]))
        self.between = nn.ModuleList(
            Between(below, upsampling == "learned") for below, _ in upwards
        )
        self.up = nn.ModuleList(
            self._convolution(below + here, here, kernel_up) for below, here in upwards
        )
        self.output = nn.Conv1d(features + 1, n_src - difference, 1)
        keep_level(self, SLOPE)
        begin_with_mixture(self.output, n_src)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        time = mix.shape[-1]
        length, output = self.lengths(self.frames(time))
        before = (length - output) // 2
        seen, unit = level.unit(mix) if self.normalise else (mix, mix.new_ones(1, 1))
        x = wave = F.pad(seen, (before, length - before - time)).unsqueeze(1)
        skips = []
        for convolution in self.down:
            x = _activate(convolution(x))
            skips.append(x)
            x = x[..., ::2]
        x = _activate(self.bottom(x))
        for between, convolution in zip(self.between, self.up, strict=True):
            x = between(x)
            x = _activate(convolution(torch.cat((x, _middle(skips.pop(), x.shape[-1])), 1)))
        # in the type of the features: under autocast the wider type would win
        x = torch.cat((x, _middle(wave, x.shape[-1]).to(x.dtype)), 1)
        estimates = self.output(x)[..., :time].float()
        if self.bounded:
            estimates = estimates.tanh()
        estimates = estimates * unit.unsqueeze(1)
        if self.difference:
            rest = mix.unsqueeze(1) - estimates.sum(1, keepdim=True)
            estimates = torch.cat((estimates, rest), 1)
        return estimates

    def frames(self, time: int) -> int:
        """Steps at the lowest resolution for ``time`` samples of output."""
        last = self.kernels[1] if self.context else 1
        return last + max(0, -(-(time - last) // 2**self.levels))

    def lengths(self, frames: int) -> tuple[int, int]:
        """Samples of input and of output for ``frames`` steps at the lowest resolution."""
        down, up = self.kernels if self.context else (1, 1)
        length, output = frames + down - 1, frames
        for _ in range(self.levels):
            length, output = 2 * length - 1 + down - 1, 2 * output - 1 - (up - 1)
        return length, output

    def _convolution(self, given: int, features: int, kernel: int) -> nn.Module:
        padding = 0 if self.context else kernel // 2
        convolution = nn.Conv1d(given, features, kernel, padding=padding, bias=not self.batch_norm)
        if not self.batch_norm:
            return convolution
        return nn.Sequential(convolution, nn.BatchNorm1d(features))

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


class Between(nn.Module):
    """Twice the resolution: between each two steps, a weighted mean of them.

    Args:
        channels: features.
        learned: whether each feature has its own weight, the sigmoid of a parameter, at first one
            half (section 3.2.4); otherwise all stay one half.
    """

    def __init__(self, channels: int, learned: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1)) if learned else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channel, step) -> (batch, channel, 2 * step - 1)."""
        weight = 0.5 if self.weight is None else self.weight.sigmoid().to(x.dtype)
        left, right = x[..., :-1], x[..., 1:]
        between = right + weight * (left - right)
        both = torch.stack((left, between), -1).flatten(-2)
        return torch.cat((both, x[..., -1:]), -1)


def _activate(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)


def _middle(x: torch.Tensor, steps: int) -> torch.Tensor:
    """So many steps of the middle of (batch, channel, step), a view."""
    return x.narrow(-1, (x.shape[-1] - steps) // 2, steps)

"""A filterbank whose synthesis inverts its analysis at the start of a training.

The decoder's transposed convolution is followed by the inverse of the frame operator (Kovačević and
Chebira 2008, "An introduction to frames", section 4), computed once from the filters as they start.
From there on encoder and decoder learn apart.
"""

import math

import torch
from asteroid_filterbanks import Filterbank
from torch.nn import functional as F

RANK = (
    1e-2  # signals that the filters see with less than this share of their largest power are lost
)
LOST_DB = -10.0  # a filterbank that gives white noise back with a larger error is refused
GRID = 64  # frequencies, at least, on which the frame operator is inverted


class DualFilterbank(Filterbank):
    """Filters of fixed norms, and a synthesis that inverts them.

    A subclass gives ``shapes()``, (filter, time), from its parameters, sets these before it calls
    ``_invert``, names its own arguments in ``own`` and itself in ``name``.

    Attributes:
        lost_db: error of white noise after analysis and synthesis at the start, in dB.
    """

    name: str
    own: tuple[str, ...] = ()

    def shapes(self) -> torch.Tensor:
        """(filter, time), at any level."""
        raise NotImplementedError

    def filters(self) -> torch.Tensor:
        """(filter, 1, time)."""
        return (F.normalize(self.shapes(), dim=1) * self.gains).unsqueeze(1)

    def post_synthesis(self, wav: torch.Tensor) -> torch.Tensor:
        """(batch, time) or (batch, source, time) -> the same shape, frame operator undone."""
        time, around = wav.shape[-1], (self.inverse.shape[-1] - self.stride) // 2
        padded = F.pad(wav.reshape(-1, 1, time), (around, around + -time % self.stride))
        blocks = F.conv1d(padded, self.inverse.to(wav.dtype), stride=self.stride)
        return blocks.transpose(1, 2).reshape(*wav.shape[:-1], -1)[..., :time]

    def get_config(self) -> dict:
        """Arguments that make the filterbank again."""
        return super().get_config() | {key: getattr(self, key) for key in self.own}

    def _balance(self) -> torch.Tensor:
        """Gains, (filter, 1), that make the filters' power even over frequency.

        Without them where filters are dense they outweigh the others, and the inverse is ill
        conditioned. The frame operator is the identity on average.
        """
        power = torch.fft.rfft(F.normalize(self.shapes(), dim=1), 4 * self.kernel_size).abs() ** 2
        power = power / power.sum(1, keepdim=True)
        gains = (power @ power.sum(0)).rsqrt().unsqueeze(1)
        return gains * math.sqrt(self.stride) / gains.norm()

    def _invert(self) -> None:
        """Set ``gains`` and ``inverse``, (stride, 1, taps): a filter for each sample of a stride.

        Raises:
            ValueError: the filters do not span the signals.
        """
        stride = self.stride
        with torch.no_grad():
            self.register_buffer("gains", self._balance())
            filters = self.filters().squeeze(1).double()
            filters = F.pad(filters, (0, -filters.shape[1] % stride))
            count = filters.shape[1] // stride
            blocks = (filters.T @ filters).reshape(count, stride, count, stride).transpose(1, 2)
            # the operator is the same for every stride: one matrix per shift by whole strides
            grid = max(GRID, 4 * count)
            operator = torch.zeros(grid, stride, stride, dtype=torch.double)
            for row in range(count):
                for column in range(count):
                    operator[(column - row) % grid] += blocks[row, column]
            operator = torch.fft.rfft(operator, dim=0)
            inverse = torch.linalg.pinv(operator, rtol=RANK, hermitian=True)
            inverse = torch.fft.irfft(inverse, grid, dim=0)
            inverse[count + 1 : -count] = 0
            error = torch.eye(stride) - torch.fft.rfft(inverse, dim=0) @ operator
            shifts = torch.arange(-count, count + 1)
            taps = inverse[shifts].permute(1, 0, 2).reshape(stride, 1, -1)
        lost = error.abs().square().mean().item() * stride
        self.lost_db = 10 * math.log10(lost)
        if self.lost_db > LOST_DB:
            raise ValueError(
                f"filterbank {self.name} gives white noise back with an error of "
                f"{self.lost_db:.1f} dB, above {LOST_DB:g} dB: lower model.stride or raise "
                "model.n_filters"
            )
        self.register_buffer("inverse", taps.float())

    def _times(self) -> torch.Tensor:
        """(1, time), seconds from the middle of a filter."""
        middle = (self.kernel_size - 1) / 2
        return (torch.arange(self.kernel_size) - middle).unsqueeze(0) / self.sample_rate

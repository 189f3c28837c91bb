"""Convolutions over the magnitudes of an STFT, at full size throughout, and a mask."""

from itertools import pairwise

import torch
from torch import nn

from local.blocks.on_stft import SpectrogramSeparator, squared_error


class MaskCNN(SpectrogramSeparator):
    """Convolutions with ReLUs that keep the size, and masks that sum to 1.

    Args:
        window: samples.
        hop: samples between frames.
        channels: of the layers but the last.
        kernel: frequencies and frames that a layer sees, odd.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered, or an even kernel.
    """

    loss = squared_error

    def __init__(
        self, window=1024, hop=256, channels=(12, 20, 30, 40, 30, 20, 12), kernel=5, n_src=2,
        sample_rate=16000,
    ):  # fmt: skip
        channels = list(channels)
        super().__init__(
            window, hop, None, sample_rate, channels=channels, kernel=kernel, n_src=n_src
        )
        if kernel % 2 == 0:
            raise ValueError(f"kernel {kernel}: an odd number, which has a middle")
        layers = []
        for inside, out in pairwise([1, *channels]):
            layers += [nn.Conv2d(inside, out, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
        last = nn.Conv2d(channels[-1], n_src, kernel, padding=kernel // 2)
        self.network = nn.Sequential(*layers, last)

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> masks that sum to 1 (batch, source, frequency, frame)."""
        return torch.softmax(self.network(magnitude.unsqueeze(1)).float(), 1)

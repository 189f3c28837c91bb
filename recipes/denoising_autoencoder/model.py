"""A dense autoencoder from a frame's magnitudes to those of its sources."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks.on_stft import SpectrogramSeparator, squared_error


class DenoisingAutoencoder(SpectrogramSeparator):
    """Fully connected layers with a narrow middle, from a frame of the mixture to all sources'.

    The noise of a denoising autoencoder (Vincent et al. 2008, "Extracting and composing robust
    features with denoising autoencoders") is here the noise in the mixture, as in Lu et al. 2013,
    "Speech enhancement based on deep denoising autoencoder". It sees one frame at a time and has
    no memory.

    Args:
        window: samples.
        hop: samples between frames.
        units: of the layers between input and output.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered.
    """

    loss = squared_error

    def __init__(self, window=1024, hop=256, units=(512, 128, 512), n_src=2, sample_rate=16000):
        units = list(units)
        super().__init__(
            window, hop, None, sample_rate, output="magnitude", units=units, n_src=n_src
        )
        bins = self.stft.frequencies
        layers = []
        for inside, out in pairwise([bins, *units]):
            layers += [nn.Linear(inside, out), nn.ReLU(inplace=True)]
        self.network = nn.Sequential(*layers, nn.Linear(units[-1], n_src * bins))

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> magnitudes (batch, source, frequency, frame)."""
        values = self.network(magnitude.transpose(1, 2)).float()
        frames = F.softplus(values).unflatten(-1, (-1, magnitude.shape[1]))
        return frames.permute(0, 2, 3, 1)

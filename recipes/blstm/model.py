"""Recurrent layers over the magnitudes of an STFT, in the manner of Open-Unmix."""

import torch
from torch import nn

from local.blocks.input_statistics import Moments
from local.blocks.on_stft import SpectrogramSeparator, ideal_mask, level, squared_error


class MagnitudeBLSTM(SpectrogramSeparator):
    """Frames reduced by a fully connected layer, three BLSTMs with a skip around them, masks.

    After Stöter et al. 2019, "Open-Unmix: a reference implementation for music source
    separation", and its code. Statistics of the training set (``fit``) bring the input magnitudes
    to mean 0 and deviation 1 at each frequency, and the output masks to the mean and deviation of
    ideal ones.

    Args:
        window: samples.
        hop: samples between frames.
        hidden_size: width of the layers, of both directions of a recurrent one together; even.
        num_layers: recurrent layers.
        dropout: share of outputs dropped between recurrent layers, in training.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered, or an odd width.
    """

    loss = squared_error

    def __init__(
        self, window=1024, hop=256, hidden_size=512, num_layers=3, dropout=0.4, n_src=2,
        sample_rate=16000,
    ):  # fmt: skip
        super().__init__(
            window, hop, None, sample_rate, hidden_size=hidden_size, num_layers=num_layers,
            dropout=dropout, n_src=n_src,
        )  # fmt: skip
        if hidden_size % 2:
            raise ValueError(f"hidden_size {hidden_size}: an even number, half in each direction")
        bins = self.stft.frequencies
        self.register_buffer("input_mean", torch.zeros(bins))
        self.register_buffer("input_deviation", torch.ones(bins))
        # before ``fit``: masks of 1, as in Open-Unmix
        self.register_buffer("mask_mean", torch.ones(n_src * bins))
        self.register_buffer("mask_deviation", torch.ones(n_src * bins))
        self.reduce = nn.Sequential(
            nn.Linear(bins, hidden_size, bias=False), nn.BatchNorm1d(hidden_size), nn.Tanh()
        )
        self.recurrent = nn.LSTM(
            hidden_size, hidden_size // 2, num_layers, batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0, bidirectional=True,
        )  # fmt: skip
        self.mask = nn.Sequential(
            nn.Linear(2 * hidden_size, hidden_size, bias=False),
            nn.BatchNorm1d(hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, n_src * bins, bias=False),
            nn.BatchNorm1d(n_src * bins),
        )

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> masks (batch, source, frequency, frame), 0 or more."""
        frames = (magnitude.transpose(1, 2) - self.input_mean) / self.input_deviation
        # normalised over batch and frames together: (batch x frame, feature)
        reduced = self.reduce(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        hidden, _ = self.recurrent(reduced)
        values = self.mask(torch.cat((reduced, hidden), -1).flatten(0, 1)).float()
        masks = torch.relu(values * self.mask_deviation + self.mask_mean)
        masks = masks.unflatten(0, frames.shape[:2]).unflatten(-1, (-1, frames.shape[-1]))
        return masks.permute(0, 2, 3, 1)

    def fit(self, batches) -> None:
        """Mean and deviation at every frequency, of the mixtures and of their ideal ratio masks.

        Args:
            batches: of mix (batch, time) and sources (batch, source, time).
        """
        inputs, ideals = Moments(), Moments()
        for mix, sources in batches:
            magnitude = self.stft(mix.to(self.input_mean.device)).abs()
            spectra = self.stft(sources.to(self.input_mean.device))
            inputs.add((magnitude / level(magnitude)).transpose(1, 2).flatten(0, 1))
            # (batch, frame, source, frequency) -> (batch x frame, source x frequency)
            ideals.add(ideal_mask("ratio", spectra).permute(0, 3, 1, 2).flatten(0, 1).flatten(1))
        self.input_mean.copy_(inputs.mean())
        self.input_deviation.copy_(inputs.deviation())
        self.mask_mean.copy_(ideals.mean())
        self.mask_deviation.copy_(ideals.deviation())

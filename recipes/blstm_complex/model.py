"""Recurrent layers over the frames of an STFT, which give a complex mask for the voice."""

import torch
from asteroid.models import BaseModel
from torch import nn

from local.moments import Moments
from local.stft import STFT

FLOOR = 1e-4  # magnitude under the logarithm: that of a Hann window over noise at -103 dBFS
COMPRESSION = 0.3  # exponent of the magnitude in the real and imaginary parts
PARTS = 3  # of the input: log-magnitude, compressed real and imaginary part


class ComplexMaskLSTM(BaseModel):
    """Log-magnitude and compressed real and imaginary parts in, a complex mask for the voice out.

    The mask (Williamson, Wang and Wang 2016, "Complex ratio masking for monaural speech
    separation") may have any value; the noise is what it leaves of the mixture. Every part of the
    input is brought to mean 0 and deviation 1 at each frequency by statistics of the training
    mixtures, as Open-Unmix does with magnitudes (Stöter et al. 2019).

    Args:
        window: samples.
        hop: samples between frames.
        input_size: width of the layer that reduces a frame.
        hidden_size: cells of a recurrent layer, in each direction.
        num_layers: recurrent layers.
        dropout: share of a recurrent layer's outputs that is dropped in training, but the last's.
        bidirectional: False: no frame sees one after it, and an estimated sample depends on the
            ``window - 1`` samples after it at most.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered.
    """

    def __init__(
        self, window=512, hop=256, input_size=256, hidden_size=256, num_layers=2, dropout=0.0,
        bidirectional=True, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        self.arguments = {
            "window": window, "hop": hop, "input_size": input_size, "hidden_size": hidden_size,
            "num_layers": num_layers, "dropout": dropout, "bidirectional": bidirectional,
            "sample_rate": sample_rate,
        }  # fmt: skip
        self.stft = STFT(window, hop)
        bins = self.stft.frequencies
        self.register_buffer("mean", torch.zeros(PARTS * bins))
        self.register_buffer("deviation", torch.ones(PARTS * bins))
        self.reduce = nn.Linear(PARTS * bins, input_size)
        self.recurrent = nn.LSTM(
            input_size, hidden_size, num_layers, batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0, bidirectional=bidirectional,
        )  # fmt: skip
        self.mask = nn.Linear(hidden_size * (1 + bidirectional), 2 * bins)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        hidden, _ = self.recurrent(self._reduced(spectrum))
        voice = self.stft.inverse(self._masked(hidden, spectrum), mix.shape[-1])
        return torch.stack((voice, mix - voice), 1)

    def _reduced(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Complex (batch, frequency, frame) -> (batch, frame, input_size)."""
        scaled = (features(spectrum) - self.mean) / self.deviation
        return torch.relu(self.reduce(scaled))

    def _masked(self, hidden: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
        """What the recurrent layers gave (batch, frame, channel) -> the voice's spectrum."""
        parts = self.mask(hidden).float().transpose(1, 2).unflatten(1, (2, -1))
        return torch.complex(*parts.unbind(1)) * spectrum

    def fit(self, batches) -> None:
        """Mean and deviation of every part at every frequency.

        Args:
            batches: of mix (batch, time) and sources, which are not used.
        """
        moments = Moments()
        for mix, _ in batches:
            moments.add(features(self.stft(mix.to(self.mean.device))).flatten(0, 1))
        self.mean.copy_(moments.mean())
        self.deviation.copy_(moments.deviation())

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


def features(spectrum: torch.Tensor) -> torch.Tensor:
    """Complex (batch, frequency, frame) -> (batch, frame, PARTS * frequency)."""
    magnitude = spectrum.abs().clamp(min=FLOOR)
    compressed = spectrum * magnitude ** (COMPRESSION - 1)
    parts = torch.stack((magnitude.log(), compressed.real, compressed.imag), 1)
    return parts.flatten(1, 2).transpose(1, 2)

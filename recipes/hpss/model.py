"""HPSS: harmonic and percussive sounds, told apart by median filters along time and frequency."""

import torch
from asteroid.models import BaseModel
from scipy.ndimage import median_filter

from local.blocks import masks
from local.blocks.stft import STFT


class HPSS(BaseModel):
    """The harmonic part of the mixture is the voice, the percussive part is the noise.

    A steady tone is a line along time in the spectrogram, a click is a line across frequency.
    A median filter along the one keeps it and removes the other. The two filtered spectrograms,
    as if they were magnitudes of the sources, give Wiener-like masks (Fitzgerald 2010,
    "Harmonic/percussive separation using median filtering"). At the edges the spectrogram is
    reflected.

    Args:
        window: samples.
        hop: samples.
        harmonic: frames of the median along time, odd.
        percussive: frequencies of the median across frequency, odd.
        sample_rate: Hz.

    Raises:
        ValueError: an even length of a median, or sizes from which a signal could not be
            recovered.
    """

    def __init__(self, window=1024, hop=256, harmonic=3, percussive=33, sample_rate=16000):
        super().__init__(sample_rate=sample_rate)
        for name, length in (("harmonic", harmonic), ("percussive", percussive)):
            if length < 1 or length % 2 == 0:
                raise ValueError(f"{name} {length}: an odd number, at least 1")
        self.window, self.harmonic, self.percussive = window, harmonic, percussive
        self.stft = STFT(window, hop)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        magnitudes = spectrum.abs().cpu().numpy()
        lasting = median_filter(magnitudes, (1, 1, self.harmonic))
        broad = median_filter(magnitudes, (1, self.percussive, 1))
        harmonic, percussive = (torch.from_numpy(x).to(mix) for x in (lasting, broad))
        estimates = masks.apply(masks.wiener(harmonic, percussive), spectrum)
        return self.stft.inverse(estimates, mix.shape[-1])

    def get_model_args(self):
        """Arguments that build an equal model."""
        return {"window": self.window, "hop": self.stft.hop, "harmonic": self.harmonic,
                "percussive": self.percussive, "sample_rate": self.sample_rate}  # fmt: skip

"""Enhancement from the mixture alone: estimate the noise's power, then apply gains."""

from dataclasses import asdict

import torch
from asteroid.models import BaseModel

from local import SOURCES
from local.base.errors import nearest
from local.blocks.noise_psd import ESTIMATORS
from local.blocks.stft import STFT


class SpectralGain(BaseModel):
    """The mixture's STFT times gains for the voice; the noise is the mixture minus the voice.

    Args:
        rule: of ``local.blocks.spectral_gains``; a recipe's class takes its settings instead.
        noise_psd: a name in ``local.blocks.noise_psd.ESTIMATORS``.
        noise_factor: multiplies the estimated power of the noise, above 0.
        window: samples.
        hop: samples.
        sample_rate: Hz.

    Raises:
        ValueError: an unknown estimator, a factor not above 0, or sizes from which a signal
            could not be recovered.
    """

    def __init__(self, rule, noise_psd, noise_factor, window: int, hop: int, sample_rate):
        super().__init__(sample_rate=sample_rate)
        if noise_psd not in ESTIMATORS:
            raise ValueError(f"noise_psd {noise_psd!r}{nearest(noise_psd, ESTIMATORS)}")
        if not 0 < noise_factor < float("inf"):
            raise ValueError(f"noise_factor {noise_factor}: a number above 0")
        self.rule, self.noise_psd, self.noise_factor = rule, noise_psd, noise_factor
        self.window, self.stft = window, STFT(window, hop)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        power = spectrum.real.square() + spectrum.imag.square()
        estimate = ESTIMATORS[self.noise_psd](power, self.stft.hop / self.sample_rate)
        gain = self.rule(power, self.noise_factor * estimate)
        voice = self.stft.inverse(gain * spectrum, mix.shape[-1])
        estimates = {"voice": voice, "noise": mix - voice}
        return torch.stack([estimates[source] for source in SOURCES], 1)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return asdict(self.rule) | {
            "noise_psd": self.noise_psd, "noise_factor": self.noise_factor,
            "window": self.window, "hop": self.stft.hop, "sample_rate": self.sample_rate,
        }  # fmt: skip

"""Spectral subtraction with over-subtraction and a spectral floor."""

from local import gains
from local.spectral_gain import SpectralGain


class SpectralSubtraction(SpectralGain):
    """The noise's power, or magnitude, taken off the mixture's.

    Args:
        domain: ``power`` or ``magnitude``, see ``local.gains.Subtraction``.
        over_subtraction: how often the noise is taken off at 0 dB, at least 1.
        floor: the least that is left, as a part of the noise, from 0 to 1.
        noise_psd, noise_factor, window, hop, sample_rate: see ``local.spectral_gain``.

    Raises:
        ValueError: settings out of range.
    """

    def __init__(
        self,
        domain: str = "power",
        over_subtraction: float = 4.0,
        floor: float = 0.01,
        noise_psd: str = "centred_minimum",
        noise_factor: float = 1.0,
        window: int = 512,
        hop: int = 128,
        sample_rate=16000,
    ):
        rule = gains.Subtraction(domain, over_subtraction, floor)
        super().__init__(rule, noise_psd, noise_factor, window, hop, sample_rate)

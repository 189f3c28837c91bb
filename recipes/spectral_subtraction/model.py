"""Spectral subtraction with over-subtraction and a spectral floor."""

from local.blocks import spectral_gains
from local.blocks.enhancer import SpectralGain


class SpectralSubtraction(SpectralGain):
    """The noise's power, or magnitude, subtracted from the mixture's.

    Args:
        domain: ``power`` or ``magnitude``, see ``local.blocks.spectral_gains.Subtraction``.
        over_subtraction: factor of the subtracted noise at 0 dB, at least 1.
        floor: the least result, as a part of the noise, from 0 to 1.
        noise_psd, noise_factor, window, hop, sample_rate: see ``local.blocks.enhancer``.

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
        rule = spectral_gains.Subtraction(domain, over_subtraction, floor)
        super().__init__(rule, noise_psd, noise_factor, window, hop, sample_rate)

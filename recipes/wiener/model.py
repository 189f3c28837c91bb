"""Wiener filter and log-MMSE: gains from the a-priori SNR, which uses the previous frame."""

from local.blocks import spectral_gains
from local.blocks.enhancer import SpectralGain


class Wiener(SpectralGain):
    """Gains with the a-priori SNR by the decision-directed rule.

    Args:
        gain: ``wiener`` or ``logmmse``, see ``local.blocks.spectral_gains.DecisionDirected``.
        smoothing: of the a-priori SNR, from 0, below 1, per frame.
        floor_db: the least a-priori SNR in dB.
        noise_psd, noise_factor, window, hop, sample_rate: see ``local.blocks.enhancer``.

    Raises:
        ValueError: settings out of range.
    """

    def __init__(
        self,
        gain: str = "wiener",
        smoothing: float = 0.98,
        floor_db: float = -25.0,
        noise_psd: str = "centred_minimum",
        noise_factor: float = 1.0,
        window: int = 512,
        hop: int = 128,
        sample_rate=16000,
    ):
        rule = spectral_gains.DecisionDirected(gain, smoothing, floor_db)
        super().__init__(rule, noise_psd, noise_factor, window, hop, sample_rate)

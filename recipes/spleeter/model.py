"""A U-Net per source, whose normalised masks divide the mixture."""

import torch

from local.model.separators import network_class

MagnitudeUNet = network_class("unet", "MagnitudeUNet")
TINY = 1e-30  # a mask under the logarithm


class Spleeter(MagnitudeUNet):
    """The network of the recipe unet, one per source; their masks are normalised across sources.

    After Hennequin et al. 2020, "Spleeter: a fast and efficient music source separation tool with
    pre-trained models". As there, each network learns its own source: masks are normalised only
    when applied.

    Args:
        window: samples.
        hop: samples between frames.
        fft: samples; None: the window.
        channels: of every level.
        dropout: share dropped in training in the first three levels up.
        exponent: of the masks in the normalisation; 2: as of powers in a Wiener filter.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes of the STFT from which a signal could not be recovered.
    """

    def __init__(
        self, window=1024, hop=256, fft=None, channels=(16, 32, 64, 128, 256, 512), dropout=0.5,
        exponent=2.0, n_src=2, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(
            window, hop, fft, channels, dropout, shared=False, n_src=n_src, sample_rate=sample_rate
        )
        self.exponent = exponent
        self.arguments["exponent"] = exponent

    def applied(self, estimate: torch.Tensor) -> torch.Tensor:
        """m^exponent over its sum: masks (batch, source, frequency, frame) that sum to 1."""
        return torch.softmax(self.exponent * estimate.clamp(min=TINY).log(), 1)

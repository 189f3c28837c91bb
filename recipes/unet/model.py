"""A U-Net over the magnitudes of an STFT."""

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks.on_stft import SpectrogramSeparator
from local.blocks.unet2d import EncoderDecoder


class MagnitudeUNet(SpectrogramSeparator):
    """Convolutions down and up with skips, and a mask of the mixture's magnitudes per source.

    After Jansson et al. 2017, "Singing voice separation with deep U-Net convolutional networks".
    The rows "no-skip" and "no-mask" of the study by Cohen-Hadria, Roebel and Peeters 2019,
    "Improving singing voice separation using Deep U-Net and Wave-U-Net with data augmentation",
    are ``skip=False`` and ``output="magnitude"``.

    Args:
        window: samples.
        hop: samples between frames.
        fft: samples; None: the window.
        channels: of every level.
        dropout: share dropped in training in the first three levels up.
        skip: connect levels down to levels up.
        output: ``mask`` by a sigmoid, or ``magnitude`` by a softplus.
        target: of the loss: ``magnitude`` of the sources, or the name of an ideal mask.
        shared: one network with an output per source, or the paper's network per source.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: an unknown output or target, or sizes of the STFT from which a
            signal could not be recovered.
    """

    def __init__(
        self, window=1024, hop=256, fft=None, channels=(16, 32, 64, 128, 256, 512), dropout=0.5,
        skip=True, output="mask", target="magnitude", shared=True, n_src=2, sample_rate=16000,
    ):  # fmt: skip
        channels = list(channels)
        super().__init__(
            window, hop, fft, sample_rate, output, target, channels=channels, dropout=dropout,
            skip=skip, shared=shared, n_src=n_src,
        )  # fmt: skip
        outputs = [n_src] if shared else [1] * n_src
        self.networks = nn.ModuleList(
            EncoderDecoder(channels, count, dropout, skip) for count in outputs
        )

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> masks or magnitudes (batch, source, frequency, frame)."""
        values = torch.cat([network(magnitude) for network in self.networks], 1)
        return torch.sigmoid(values) if self.output == "mask" else F.softplus(values)

    def loss(self, mix: torch.Tensor, sources: torch.Tensor):
        """Mean absolute error of what ``target`` names.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).

        Returns:
            scalar, and {"l1": the same without gradient}.
        """
        error = F.l1_loss(*self.compared(mix, sources))
        return error, {"l1": error.detach()}

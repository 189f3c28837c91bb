"""A U-Net that is told which source is wanted."""

import torch
from torch import nn
from torch.nn import functional as F

from local.blocks.on_stft import SpectrogramSeparator
from local.blocks.unet2d import EncoderDecoder

DROPOUT = 0.5  # of the control network
CONTROL = {"simple": (16, 64, 256), "complex": (16, 256, 1024)}  # its widths


class ConditionedUNet(SpectrogramSeparator):
    """One U-Net for all sources; a control network tells its way down which one is wanted.

    After Meseguer-Brocal and Peeters 2019, "Conditioned-U-Net: introducing a control mechanism in
    the U-Net for multiple source separations". The wanted source is a one-hot vector. The fully
    connected control network turns it into a factor and an offset for every normalisation on the
    way down (FiLM: Perez et al. 2018, "FiLM: visual reasoning with a general conditioning layer").

    Args:
        window: samples.
        hop: samples between frames.
        fft: samples; None: the window.
        channels: of every level of the U-Net.
        dropout: share dropped in training in the first three levels up.
        film: ``simple``: a factor and an offset per level; ``complex``: per channel of every
        level.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: another ``film``, or sizes of the STFT from which a signal could not be
            recovered.
    """

    def __init__(
        self, window=1024, hop=256, fft=None, channels=(16, 32, 64, 128, 256, 512), dropout=0.5,
        film="simple", n_src=2, sample_rate=16000,
    ):  # fmt: skip
        channels = list(channels)
        super().__init__(
            window, hop, fft, sample_rate, channels=channels, dropout=dropout, film=film,
            n_src=n_src,
        )  # fmt: skip
        if film not in CONTROL:
            raise ValueError(f"film {film!r}: simple or complex")
        self.n_src = n_src
        self.network = EncoderDecoder(channels, 1, dropout)
        self.sizes = channels if film == "complex" else [1] * len(channels)
        self.control = _control(n_src, CONTROL[film], 2 * sum(self.sizes))

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """(batch, frequency, frame) -> masks (batch, source, frequency, frame)."""
        wanted = torch.eye(self.n_src, dtype=magnitude.dtype, device=magnitude.device)
        values = self.mask(
            magnitude.repeat_interleave(self.n_src, 0), wanted.repeat(len(magnitude), 1)
        )
        return values.unflatten(0, (-1, self.n_src))

    def mask(self, magnitude: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The mask of one source for each.

        Args:
            magnitude: (batch, frequency, frame).
            wanted: (batch, source), 1 at the wanted source and 0 elsewhere.

        Returns:
            (batch, frequency, frame).
        """
        values = self.control(wanted).unsqueeze(-1).unsqueeze(-1)
        factors, terms = (half.split(self.sizes, 1) for half in values.chunk(2, 1))
        # around 1: an output of 0 changes nothing
        modulation = [(1 + factor, term) for factor, term in zip(factors, terms, strict=True)]
        return torch.sigmoid(self.network(magnitude, modulation).squeeze(1))

    def loss(self, mix: torch.Tensor, sources: torch.Tensor):
        """Mean absolute error of the magnitudes, with every source wanted in turn.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).

        Returns:
            scalar, and {"l1": the same without gradient}.
        """
        error = F.l1_loss(*self.compared(mix, sources))
        return error, {"l1": error.detach()}


def _control(inputs: int, widths: tuple[int, ...], outputs: int) -> nn.Sequential:
    """A dense layer, then blocks of a dense layer, dropout and normalisation; a dense layer."""
    first, *others = widths
    layers = [nn.Linear(inputs, first), nn.ReLU()]
    inside = first
    for width in others:
        layers += [nn.Linear(inside, width), nn.ReLU(), nn.Dropout(DROPOUT), nn.BatchNorm1d(width)]
        inside = width
    return nn.Sequential(*layers, nn.Linear(inside, outputs))

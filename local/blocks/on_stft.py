"""What separators over an STFT share: everything but the network.

The network never sees the level: its input is divided by the mixture's level, and its magnitudes
are multiplied by it, so the output scales with the input.
"""

import inspect

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local.base.errors import nearest
from local.blocks import masks
from local.blocks.stft import STFT

OUTPUTS = ("mask", "magnitude")
TARGETS = ("magnitude", *(name for name in masks.MASKS if name != "complex"))
QUIET = 1e-10  # the level of silence: far below a single step of 24 bits


class _OnSTFT(BaseModel):
    """An STFT, and the arguments for ``get_model_args``."""

    def __init__(self, window, hop, fft, sample_rate, **arguments):
        super().__init__(sample_rate=sample_rate)
        self.arguments = {"window": window, "hop": hop, "fft": fft, "sample_rate": sample_rate,
                          **arguments}  # fmt: skip
        self.stft = STFT(window, hop, fft)

    def get_model_args(self):
        """Arguments that build an equal model: those that the subclass takes."""
        taken = inspect.signature(type(self)).parameters
        return {name: value for name, value in self.arguments.items() if name in taken}


class SpectrogramSeparator(_OnSTFT):
    """A network from the mixture's magnitudes to a mask or to the magnitudes of every source.

    This class applies both, with the phase of the mixture. A subclass has ``estimate``; for a
    ``loss`` on masks or magnitudes, ``compared`` returns the pair to compare.

    Args:
        window: samples.
        hop: samples between frames.
        fft: samples; None: the window, see ``local.blocks.stft``.
        sample_rate: Hz.
        output: what ``estimate`` returns, ``mask`` or ``magnitude``.
        target: what ``compared`` compares: ``magnitude``, or with ``output="mask"`` the name of
            an ideal mask in ``local.blocks.masks``.
        arguments: further arguments of the subclass, for ``get_model_args``.

    Raises:
        ValueError: an unknown output or target, or sizes from which a signal could not be
        recovered.
    """

    def __init__(
        self, window=1024, hop=256, fft=None, sample_rate=16000, output="mask",
        target="magnitude", **arguments,
    ):  # fmt: skip
        if output not in OUTPUTS:
            raise ValueError(f"output {output!r}{nearest(output, OUTPUTS)}")
        if target not in TARGETS:
            raise ValueError(f"target {target!r}{nearest(target, TARGETS)}")
        if output == "magnitude" and target != "magnitude":
            raise ValueError(f"output magnitude has no {target} mask to learn: target: magnitude")
        super().__init__(window, hop, fft, sample_rate, output=output, target=target, **arguments)
        self.output, self.target = output, target

    def estimate(self, magnitude: torch.Tensor) -> torch.Tensor:
        """The network.

        Args:
            magnitude: (batch, frequency, frame), in units of the mixture's level.

        Returns:
            (batch, source, frequency, frame), masks or magnitudes in the same units.
        """
        raise NotImplementedError

    def applied(self, estimate: torch.Tensor) -> torch.Tensor:
        """The part of an estimate that is applied: all of it.

        A subclass may normalise masks here, or cut them off at a threshold; ``compared`` does
        not do so.
        """
        return estimate

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        magnitude = spectrum.abs()
        unit = level(magnitude)
        estimate = self.estimate(magnitude / unit).to(magnitude.dtype)
        # sgn: the phase alone
        carrier = spectrum if self.output == "mask" else torch.sgn(spectrum) * unit
        return self.stft.inverse(masks.apply(self.applied(estimate), carrier), mix.shape[-1])

    def compared(
        self, mix: torch.Tensor, sources: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network estimates, and its target.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).

        Returns:
            Twice (batch, source, frequency, frame): magnitudes in units of the mixture's level,
            or masks, according to ``target``.
        """
        magnitude, references = self.stft(mix).abs(), self.stft(sources)
        unit = level(magnitude)
        magnitude = magnitude / unit
        estimate = self.estimate(magnitude).to(magnitude.dtype)
        if self.target != "magnitude":
            return estimate, ideal_mask(self.target, references)
        if self.output == "mask":
            estimate = masks.apply(estimate, magnitude)
        return estimate, references.abs() / unit.unsqueeze(1)


class ComplexMaskSeparator(_OnSTFT):
    """A network from the mixture's spectrum to a complex mask of every source.

    Args:
        masker: the network, complex (batch, frequency, frame), in units of the mixture's level,
            -> complex (batch, source, frequency, frame).
        window: samples.
        hop: samples between frames.
        fft: samples; None: the window, see ``local.blocks.stft``.
        sample_rate: Hz.
        arguments: further arguments of the subclass, for ``get_model_args``.

    Raises:
        ValueError: sizes from which a signal could not be recovered.
    """

    def __init__(self, masker, window=1024, hop=256, fft=None, sample_rate=16000, **arguments):
        super().__init__(window, hop, fft, sample_rate, **arguments)
        self.masker = masker

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        estimate = self.masker(spectrum / level(spectrum.abs()))
        return self.stft.inverse(masks.apply(estimate, spectrum), mix.shape[-1])


def squared_error(separator: SpectrogramSeparator, mix: torch.Tensor, sources: torch.Tensor):
    """Mean squared error of what ``target`` names; a class uses it by ``loss = squared_error``.

    Args:
        separator: whose output.
        mix: (batch, time).
        sources: (batch, source, time).

    Returns:
        scalar, and {"mse": the same without gradient}.
    """
    error = F.mse_loss(*separator.compared(mix, sources))
    return error, {"mse": error.detach()}


def level(magnitude: torch.Tensor) -> torch.Tensor:
    """Root mean square of the magnitudes (batch, frequency, frame) of each -> (batch, 1, 1)."""
    return magnitude.square().mean((-2, -1), keepdim=True).sqrt().clamp(min=QUIET)


def ideal_mask(name: str, sources: torch.Tensor) -> torch.Tensor:
    """The masks of ``local.blocks.masks``, limited to 0 to 1, the range of a sigmoid.

    Args:
        name: of an ideal mask of real values.
        sources: complex spectra (..., source, frequency, frame).

    Returns:
        (..., source, frequency, frame).
    """
    return masks.MASKS[name](*sources.unbind(-3)).clamp(0, 1)


def on_grid(network: nn.Module, x: torch.Tensor, strides: tuple[int, int]) -> torch.Tensor:
    """Apply a network that accepts only multiples of its strides; cut its output to size.

    Args:
        network: (..., frequency, frame) -> the same two sizes.
        x: (..., frequency, frame) of any sizes; zeros are added at the upper ends.
        strides: of frequencies, of frames.
    """
    frequencies, frames = x.shape[-2:]
    padded = F.pad(x, (0, -frames % strides[1], 0, -frequencies % strides[0]))
    return network(padded)[..., :frequencies, :frames]

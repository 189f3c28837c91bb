"""Spectra in real numbers (``STFT.parts``): what networks see of them, and complex masks on them.

Spectra and masks are (batch, part, ...) with the real part first.
"""

import torch

FLOOR = 1e-4  # magnitude under the logarithm: that of a Hann window over noise at -103 dBFS
COMPRESSION = 0.3  # exponent of the magnitude in the real and imaginary parts
VIEWS = 3  # log-magnitude, compressed real and imaginary part
SMALL = 1e-4  # keeps the angle of nothing finite


def views(parts: torch.Tensor) -> torch.Tensor:
    """Log-magnitude, and real and imaginary part with a compressed magnitude.

    (batch, 2, ...) -> (batch, VIEWS, ...).
    """
    magnitude = parts.square().sum(1, keepdim=True).clamp(min=FLOOR**2).sqrt()
    return torch.cat((magnitude.log(), parts * magnitude ** (COMPRESSION - 1)), 1)


def masked(mask: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """The product of a complex mask and a spectrum, each (batch, 2, ...)."""
    a, b = mask.unbind(1)
    real, imaginary = parts.unbind(1)
    return torch.stack((a * real - b * imaginary, a * imaginary + b * real), 1)


def gain_and_turn(outputs: torch.Tensor) -> torch.Tensor:
    """A complex mask whose magnitude is from 0 to 1, of three outputs of a network.

    The gain is the sigmoid of the first; the others turn the phase. Outputs of 0 are a gain of a
    half and no turn, so that magnitudes are learnt first and fast, which a mask of any value
    hinders (recipes/dpcrn/README.md).

    (batch, 3, ...) -> (batch, 2, ...).
    """
    gain, turn = outputs.split((1, 2), 1)
    turn = torch.cat((1 + turn[:, :1], turn[:, 1:]), 1)
    size = (turn.square().sum(1, keepdim=True) + SMALL).sqrt()
    return torch.sigmoid(gain) / size * turn

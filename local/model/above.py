"""What a recording holds above a model's band: how it is shared out between voice and noise.

A model at 16 kHz hears nothing above 8 kHz. Three ways to share out what lies there:

- ``follow``: each source gets the share that it has of the energy in the octave below (4 to
  8 kHz), which changes every 4 ms. Most of what reaches up to there goes on above: the hiss of
  an s, or of a fan. One gain for the whole band, because nothing is known of its parts.
- ``noise``: all of it is noise.
- ``voice``: all of it is voice.

If the estimates sum to the mixture, they still do.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch.nn import functional as F

from local import SOURCES

WAYS = ("follow", "noise", "voice")
BLOCK = 0.004  # seconds over which energies are summed; a share is smoothed over three of them
SIDE = 16  # samples on either side of the filter that leaves the upper octave
SILENCE = 1e-12  # mean square


class Above(NamedTuple):
    """One of ``WAYS`` for one separator.

    Attributes:
        way: ``follow``, ``noise`` or ``voice``.
        consistent: whether the estimates sum to what was heard.
    """

    way: str
    consistent: bool

    def rows(self, heard: torch.Tensor, estimates: torch.Tensor, rate: int) -> torch.Tensor:
        """What has to be known at another rate to share out what lies above.

        Args:
            heard: (channel, time), the mixture at the model's rate.
            estimates: (source, channel, time).
            rate: Hz, the model's.

        Returns:
            (row, channel, time): the estimates, then, where it is needed, what was heard and the
            shares of the sources.
        """
        rows = [estimates]
        if not self.consistent:
            rows.append(heard.unsqueeze(0))
        if self.way == "follow":
            of = estimates[:1] if self.consistent else estimates  # the other one has the rest
            rows.append(shares(heard, of, rate))
        return torch.cat(rows)

    def settled(self, rows: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
        """The estimates with what lies above.

        Args:
            rows: what ``rows`` gave, (row, channel, time), at another rate.
            recorded: the mixture at that rate, (channel, time).

        Returns:
            (source, channel, time).
        """
        count = len(SOURCES)
        estimates = rows[:count]
        heard = estimates.sum(0) if self.consistent else rows[count]
        above = recorded - heard
        if self.way == "follow":
            parts = above * rows[count if self.consistent else count + 1 :]
            if self.consistent:
                parts = torch.cat((parts, above - parts))
        else:
            parts = torch.zeros_like(estimates)
            parts[SOURCES.index(self.way)] = above
        return estimates + parts


def block(rate: int) -> int:
    """Samples of a block: shares of a piece that starts on its multiples are those of the whole."""
    return max(1, round(BLOCK * rate))


def reach(rate: int) -> int:
    """Samples on either side on which a share depends, at most."""
    return 3 * block(rate) + SIDE


def shares(mix: torch.Tensor, parts: torch.Tensor, rate: int) -> torch.Tensor:
    """How much of a mixture's upper octave is each part's, from 0 to 1, over time.

    The energy of the part over that of the part and of the rest of the mixture (a Wiener gain), in
    the band from a quarter to half of the rate; summed over blocks, smoothed, with straight lines
    between the blocks. In silence it is 0.

    Args:
        mix: (channel, time).
        parts: (part, channel, time).
        rate: Hz.

    Returns:
        (part, channel, time).
    """
    time, size = mix.shape[-1], block(rate)
    signals = torch.stack((parts, mix - parts))  # (2, part, channel, time)
    flat = F.pad(signals.reshape(-1, 1, time), (SIDE, SIDE))
    energy = F.conv1d(flat, _upper_octave().to(flat)).square()
    blocks = F.pad(energy, (0, -time % size)).unflatten(-1, (-1, size)).mean(-1)
    smooth = F.conv1d(blocks, blocks.new_tensor([[[0.25, 0.5, 0.25]]]), padding=1)
    own, rest = smooth.reshape(*signals.shape[:-1], -1)
    found = own / (own + rest).clamp(min=SILENCE)
    lines = F.interpolate(found, scale_factor=size, mode="linear", align_corners=False)
    return lines[..., :time]


@functools.cache
def _upper_octave() -> torch.Tensor:
    """Taps (1, 1, 2 * SIDE + 1) of a high-pass at a quarter of the rate: a windowed sinc."""
    at = torch.arange(-SIDE, SIDE + 1)
    window = 0.5 + 0.5 * torch.cos(math.pi * at / (SIDE + 1))
    taps = -0.5 * torch.sinc(at / 2) * window
    taps[SIDE] += 1
    return taps.reshape(1, 1, -1)

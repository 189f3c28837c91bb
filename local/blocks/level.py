"""The level of a mixture, for networks that must not see it."""

import torch
from torch.nn import functional as F

QUIET_BIN = 1e-5  # of a spectrum, a magnitude: far under that of a single step of 16 bits
QUIET = 1e-8  # root mean square, -160 dB of full scale; quieter signals are not amplified


def unit(mix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A mixture brought to a root mean square of 1, and what brings estimates back.

    Multiply the estimates by the second: silence in is then silence out, whatever a network's
    offsets are.

    Args:
        mix: (batch, time).

    Returns:
        the mixture over its level (batch, time), and the level (batch, 1).
    """
    level = mix.square().mean(-1, keepdim=True).sqrt()
    return mix / level.clamp(min=QUIET), level


def unit_frames(
    parts: torch.Tensor, before: torch.Tensor, frames: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A spectrum whose every frame is over the level of the latest frames, for live use.

    Args:
        parts: (batch, 2, frequency, frame), see ``STFT.parts``.
        before: of ``no_frames``, or of the frames before.
        frames: over which the level is taken, the last one included.

    Returns:
        the spectrum over its levels; ``before`` of the frames that follow.
    """
    power = parts.square().sum(1).mean(1)
    history = torch.cat((before, torch.stack((power, torch.ones_like(power)), 1)), 2)
    power, count = F.avg_pool1d(history, frames, 1).unbind(1)
    level = (power / count).clamp(min=QUIET_BIN**2).sqrt()[:, None, None]
    return parts / level, history[:, :, history.shape[2] - frames + 1 :]


def no_frames(batch: int, frames: int, like: torch.Tensor) -> torch.Tensor:
    """``before`` of the first frame: (batch, 2, frames - 1), powers and a 1 for each there was."""
    return like.new_zeros(batch, 2, frames - 1)

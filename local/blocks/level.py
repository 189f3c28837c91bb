"""The level of a waveform, for networks that must not see it."""

import torch

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

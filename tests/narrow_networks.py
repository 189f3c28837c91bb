"""A network of a few channels, and noise to put through it."""

import torch

from local.model import separators

NARROW = {
    "n_blocks": 2, "n_repeats": 1, "bn_chan": 4, "hid_chan": 8, "skip_chan": 4, "n_filters": 16,
}  # fmt: skip
"""Of a Conv-TasNet."""


def build() -> separators.Separator:
    """A Conv-TasNet of a few channels."""
    return separators.build("convtasnet", "tiny", **NARROW)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

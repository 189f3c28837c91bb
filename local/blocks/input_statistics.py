"""Mean and deviation of features over a training set."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

STILL = 1e-12  # a feature with a smaller variance is constant


class Moments:
    """Sums that batches are added to, in double precision."""

    def __init__(self):
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, rows: torch.Tensor) -> None:
        """Add rows (row, feature)."""
        rows = rows.double()
        self.count += len(rows)
        self.total = self.total + rows.sum(0)
        self.squares = self.squares + rows.square().sum(0)

    def mean(self) -> torch.Tensor:
        """(feature,)."""
        return self.total / self.count

    def deviation(self) -> torch.Tensor:
        """(feature,); 1 for a constant feature, which then stays unchanged."""
        variance = (self.squares / self.count - self.mean().square()).clamp(min=0)
        return torch.where(variance > STILL, variance.sqrt(), 1.0)


def standardise(network: nn.Module, batches: Iterable, features: Callable) -> None:
    """Set a network's buffers ``mean`` and ``deviation`` to those of its features.

    Meanwhile they are 0 and 1, so that ``features`` may be what the network itself makes with them.

    Args:
        network: whose buffers hold one value for each feature, in any shape.
        batches: of mix (batch, time) and sources, which are not used.
        features: mix (batch, time) -> (row, ...), the features of a row in the buffers' order.
    """
    network.mean.zero_()
    network.deviation.fill_(1)
    moments = Moments()
    for mix, _ in batches:
        moments.add(features(mix.to(network.mean.device)).flatten(1))
    network.mean.copy_(moments.mean().view_as(network.mean))
    network.deviation.copy_(moments.deviation().view_as(network.deviation))

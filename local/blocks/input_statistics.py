"""Mean and deviation of features over a training set."""

import torch

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

"""Learning-rate schedules of our own: those that neither torch nor Asteroid has."""

import math

from torch.optim.lr_scheduler import LRScheduler


class CosineOverRun(LRScheduler):
    """A linear rise, then half a cosine down, over a whole training.

    A training with a time limit (``trainer.max_time``) has no fixed number of steps. So the place
    in it is the share that is over, of its time or epochs, whichever is larger (Loshchilov and
    Hutter 2017, "SGDR", eq. 5, one cycle).

    Args:
        optimizer: whose learning rate is set.
        warmup: share of the run over which the rate rises from 0.
        floor: the last rate over the highest.

    Raises:
        ValueError: a share out of range.
    """

    def __init__(self, optimizer, warmup: float = 0.02, floor: float = 0.01):
        if not 0 <= warmup < 1 or not 0 <= floor <= 1:
            raise ValueError(
                f"warmup expects 0 to below 1 and floor 0 to 1, found {warmup} and {floor}"
            )
        self.warmup, self.floor, self.progress = warmup, floor, 0.0
        super().__init__(optimizer)

    def step(self, progress: float = 0.0) -> None:
        """Set the rate for a place in the run, from 0 to 1."""
        self.progress = min(max(progress, 0.0), 1.0)
        super().step()

    def get_lr(self) -> list[float]:
        """The rate of each group of parameters."""
        if self.progress < self.warmup:
            factor = max(self.progress / self.warmup, self.floor * self.warmup)
        else:
            place = (self.progress - self.warmup) / (1 - self.warmup)
            factor = self.floor + (1 - self.floor) * (1 + math.cos(math.pi * place)) / 2
        return [rate * factor for rate in self.base_lrs]

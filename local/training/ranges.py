"""Settings that are a range."""

import math

from local.base.errors import UserError


def pair(key: str, bounds: list[float], above: float = -math.inf) -> tuple[float, float]:
    """The two ends of a range.

    Raises:
        UserError: not two numbers, the first larger, or one not above ``above``.
    """
    if len(bounds) != 2 or not above < bounds[0] <= bounds[1] < math.inf:
        over = f" above {above:g}" if above > -math.inf else ""
        raise UserError(f"{key} expects two numbers{over}, the lower one first, found {bounds}")
    return bounds[0], bounds[1]

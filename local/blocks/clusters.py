"""k-means over batches of points, from centres that are known beforehand."""

import torch

PULL = 0.1  # of the centre that a cluster starts from, as a share of the weight of all points


def k_means(
    points: torch.Tensor, weights: torch.Tensor, centres: torch.Tensor, rounds: int = 10
) -> torch.Tensor:
    """Move centres to their points (Lloyd 1982, "Least squares quantization in PCM").

    Every cluster keeps the meaning of the centre that it starts from, and that centre counts as
    one more member of it, of ``PULL`` times the weight of all points. Otherwise, where all points
    are of one kind, the second cluster would take half of them.

    Args:
        points: (batch, point, dimension).
        weights: (batch, point), 0 or more; points of weight 0 do not count.
        centres: (cluster, dimension), where to start.
        rounds: times that points are assigned anew.

    Returns:
        (batch, cluster, dimension).
    """
    known = centres.expand(len(points), -1, -1)
    pull = PULL * weights.sum(1)[:, None, None] + torch.finfo(points.dtype).eps
    centres = known
    for _ in range(rounds):
        members = one_hot(nearest(points, centres), len(known[0]), points.dtype)
        members *= weights.unsqueeze(-1)
        sums = members.transpose(1, 2) @ points + pull * known
        centres = sums / (members.sum(1).unsqueeze(-1) + pull)
    return centres


def nearest(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """(batch, point, dimension), (batch, cluster, dimension) -> index of a cluster (batch, point).

    Of equally near ones it is the first.
    """
    # the squared distance, but for the points' own norms and a factor of -2
    nearness = torch.baddbmm(
        -0.5 * centres.square().sum(-1).unsqueeze(1), points, centres.transpose(1, 2)
    )
    return nearness.argmax(-1)


def one_hot(indices: torch.Tensor, count: int, dtype: torch.dtype) -> torch.Tensor:
    """(...) -> (..., count), 1 at the index and 0 elsewhere."""
    return torch.nn.functional.one_hot(indices, count).to(dtype)

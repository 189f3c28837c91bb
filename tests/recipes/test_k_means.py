"""k-means: centres of clouds that are apart, weights, and a cluster that has no points."""

import pytest
import torch

from recipes.deep_clustering.model import PULL, k_means, nearest, one_hot

STARTS = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def cloud(centre, count, seed=0, spread=0.05):
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor(centre) + spread * torch.randn(count, 3, generator=generator)


def test_centres_are_the_means_of_their_points_and_a_tenth_of_where_they_began():
    clouds = [cloud([0.8, 0.1, 0.3], 40), cloud([0.2, 0.9, -0.3], 60, seed=1)]
    points = torch.cat(clouds)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(2))
    centres = k_means(points[order].unsqueeze(0), torch.ones(1, 100), STARTS)
    share = PULL * 100
    for i, members in enumerate(clouds):
        expected = (members.sum(0) + share * STARTS[i]) / (len(members) + share)
        torch.testing.assert_close(centres[0, i], expected)
    labels = nearest(points.unsqueeze(0), centres)[0]
    assert labels.tolist() == [0] * 40 + [1] * 60


def test_points_without_weight_do_not_count():
    points = torch.cat((cloud([1.0, 0.0, 0.0], 20), cloud([0.0, 1.0, 0.0], 20), torch.ones(50, 3)))
    weights = torch.cat((torch.ones(40), torch.zeros(50)))
    with_others = k_means(points.unsqueeze(0), weights.unsqueeze(0), STARTS)
    alone = k_means(points[None, :40], weights[None, :40], STARTS)
    torch.testing.assert_close(with_others, alone)


def test_a_single_kind_of_points_is_not_cut_in_two():
    points = cloud([0.9, 0.3, 0.1], 1000, spread=0.2)
    points = torch.nn.functional.normalize(points, dim=-1)
    centres = k_means(points.unsqueeze(0), torch.ones(1, 1000), STARTS, rounds=50)
    labels = nearest(points.unsqueeze(0), centres)
    assert (labels == 0).float().mean() > 0.9
    torch.testing.assert_close(centres[0, 1], STARTS[1], rtol=0, atol=0.3)


def test_items_of_a_batch_are_on_their_own():
    points = torch.stack([cloud([0.5, 0.5, 0.0], 30, seed, 0.4) for seed in range(4)])
    weights = torch.rand(4, 30, generator=torch.Generator().manual_seed(5))
    together = k_means(points, weights, STARTS)
    for i in range(4):
        torch.testing.assert_close(together[i : i + 1], k_means(points[i : i + 1],
                                   weights[i : i + 1], STARTS))  # fmt: skip


@pytest.mark.parametrize("weight", [0.0, 1e-30])
def test_nothing_to_hear_leaves_the_centres(weight):
    centres = k_means(torch.zeros(2, 9, 3), torch.full((2, 9), weight), STARTS)
    torch.testing.assert_close(centres, STARTS.expand(2, -1, -1))


def test_the_nearest_centre_is_that_of_least_distance():
    points, centres = cloud([0.0, 0.0, 0.0], 50, spread=1).unsqueeze(0), STARTS.unsqueeze(0)
    assert torch.equal(nearest(points, 3 * centres), torch.cdist(points, 3 * centres).argmin(-1))


def test_one_hot():
    out = one_hot(torch.tensor([[1, 0]]), 3, torch.float32)
    assert out.tolist() == [[[0, 1, 0], [1, 0, 0]]]
    assert out.dtype == torch.float32

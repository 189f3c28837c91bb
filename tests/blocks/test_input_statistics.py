"""Mean and deviation over batches: those of all rows at once."""

import torch
from torch import nn

from local.blocks.input_statistics import Moments, standardise


def test_moments_are_those_of_all_rows():
    rows = 3 + 2 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    moments = Moments()
    for part in rows.split([1, 20, 29]):
        moments.add(part)
    torch.testing.assert_close(moments.mean().float(), rows.mean(0))
    torch.testing.assert_close(moments.deviation().float(), rows.std(0, correction=0))


def test_small_deviations_survive_a_large_mean():
    rows = 1e4 + torch.tensor([[-1.0], [1.0]])
    moments = Moments()
    moments.add(rows)
    assert moments.deviation().item() == 1


def test_what_never_moves_has_deviation_1():
    moments = Moments()
    moments.add(torch.full((5, 2), 0.3))
    assert moments.deviation().tolist() == [1, 1]


def test_a_network_learns_the_moments_of_what_it_sees_unscaled():
    network = nn.Module()
    network.register_buffer("mean", torch.full((2, 1, 3), 7.0))
    network.register_buffer("deviation", torch.full((2, 1, 3), 5.0))
    mixtures = 3 + 2 * torch.randn(8, 6, generator=torch.Generator().manual_seed(0))

    def features(mix):
        return (mix.view(-1, 2, 1, 3) - network.mean) / network.deviation

    standardise(network, [(mix, None) for mix in mixtures.split(4)], features)
    torch.testing.assert_close(network.mean.flatten(), mixtures.mean(0))
    torch.testing.assert_close(network.deviation.flatten(), mixtures.std(0, correction=0))

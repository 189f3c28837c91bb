"""Mean and deviation over batches: those of all rows at once."""

import torch

from local.blocks.input_statistics import Moments


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

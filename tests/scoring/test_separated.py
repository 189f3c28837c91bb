"""Batches on a device: the estimates of one at a time, a few made in advance, faults at once."""

import numpy as np
import pytest
import torch
from scored_experiments import make_manifest
from triplet_trees import RATE

from local.base.errors import UserError
from local.corpus import manifest
from local.model import separators, windows
from local.scoring import separated


@pytest.fixture
def test_set(tmp_path, monkeypatch):
    """A manifest of five mixtures, some of another length."""
    monkeypatch.chdir(tmp_path)
    whole = manifest.read(make_manifest("set", 5, RATE // 2 + 1))
    return changed(whole, [1, 4], num_samples=RATE // 2 - 99)


def changed(test_set, rows, **values) -> manifest.Manifest:
    """A manifest whose rows say something else."""
    table = test_set.rows.copy()
    for name, value in values.items():
        table.loc[rows, name] = value
    return manifest.Manifest(test_set.path, table, test_set.root)


class Given(torch.nn.Module):
    """An oracle that gives back its references."""

    needs_sources = True

    def forward(self, mix, sources):
        return sources.clone()


def test_a_batch_has_one_length_and_rate_and_a_limit(test_set, monkeypatch):
    assert separated.batches(test_set, range(5)) == [[0, 2, 3], [1, 4]]
    assert separated.batches(test_set, [4, 3]) == [[4], [3]]
    monkeypatch.setattr(separated, "BATCH_SECONDS", 1.2)
    assert separated.batches(test_set, range(5)) == [[0, 2], [3], [1, 4]]
    monkeypatch.setattr(separated, "BATCH_SECONDS", 0.1)
    assert [len(batch) for batch in separated.batches(test_set, range(5))] == [1] * 5
    test_set = changed(test_set, 3, sample_rate=2 * RATE)
    assert separated.batches(test_set, range(5)) == [[i] for i in (0, 2, 1, 4, 3)]


@pytest.mark.parametrize("rate", [RATE, RATE // 2])
@pytest.mark.parametrize("oracle", [False, True])
def test_estimates_are_those_of_one_at_a_time(test_set, oracle, rate):
    separator = separators.build("convtasnet", "tiny")
    if oracle:
        separator = separators.Separator(Given(), "given", rate).eval()
    separator.sample_rate = rate
    found = {made.index: made.estimates for made in separated.separate(
        separator, test_set, [0, 2, 3])}  # fmt: skip
    assert sorted(found) == [0, 2, 3]
    for i, estimates in found.items():
        expected = windows.estimate(separator, test_set.mix(i), RATE, test_set.sources(i))
        np.testing.assert_allclose(estimates, expected, atol=1e-6)


def test_what_does_not_fit_the_device_is_one_line(test_set, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(windows, "estimate_batch", full)
    with pytest.raises(UserError, match="memory of the device; try --device cpu"):
        list(separated.separate(separators.build("convtasnet", "tiny"), test_set, [0]))

"""Estimates that stage 2 keeps, and pages that play them instead of separating again."""

import shutil
import sys

import numpy as np
import pytest
from scored_experiments import make_experiment, make_manifest

from local import compare, evaluate, report
from local.base import disk, experiment, parallel
from local.corpus import manifest
from local.model import separators, windows
from local.scoring import kept, metrics, score_table

RATE = 8000
ROWS = 5
LENGTH = 8001


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def score(folder, test):
    """Stage 2, in this process."""

    def run(task, items):
        return parallel.results(task, items, jobs=1)

    return evaluate.evaluate(folder, test, metrics.Chosen(("si_sdr",)), run)


def kept_of(place):
    return kept.Kept(place, disk.read_yaml(place.with_suffix(".yml"))["model_sha256"])


@pytest.fixture
def scored():
    """An untrained Conv-TasNet that stage 2 has scored: folder, manifest, scores.csv."""
    folder, test = make_experiment("set"), manifest.read(make_manifest("set", ROWS, LENGTH, RATE))
    disk.write_yaml(folder / "conf.yml", {"seed": 0, "trainer": {}})
    disk.write_yaml(folder / "provenance.yml", {"recipe": "convtasnet", "seed": 0})
    return folder, test, score(folder, test)


def refuse(*_, **__):
    raise AssertionError("a model was used")


@pytest.fixture
def without_models(monkeypatch):
    """Loading or running a model fails."""

    def forbid():
        monkeypatch.setattr(separators, "load", refuse)
        monkeypatch.setattr(windows, "estimate", refuse)

    return forbid


def test_what_is_kept_is_what_the_model_gives(scored):
    folder, test, place = scored
    model, held = separators.load(folder / "best_model.pth"), kept_of(place)
    for i in range(ROWS):
        expected = windows.estimate(model, test.mix(i), RATE)
        found = held.estimates(i, LENGTH)
        assert found.dtype == np.float32
        # half of the last of 11 bits; below the normal range, half of the smallest step
        error = np.abs(found - expected)
        assert (error <= np.maximum(2.0**-11 * np.abs(expected), 2.0**-25)).all()
        assert found.any()


def test_pages_play_what_is_kept_without_a_model(scored, monkeypatch, without_models):
    folder, _, place = scored
    without_models()
    monkeypatch.setattr(sys, "argv", ["report", "--model=convtasnet", "--preset=tiny"])
    report.main()
    monkeypatch.setattr(sys, "argv", ["compare"])
    compare.main()
    (page,) = (folder.parent / "compare").glob("*/index.html")
    for of in (place.parent, page.parent):
        estimates = [path for path in (of / "audio").glob("*.voice.*.wav")
                     if not path.name.endswith("reference.wav")]  # fmt: skip
        assert len(estimates) == ROWS


def test_what_is_missing_or_damaged_is_separated_once(scored, monkeypatch, without_models):
    folder, test, place = scored
    held, model = kept_of(place), folder / "best_model.pth"
    before = [held.estimates(i, LENGTH) for i in range(3)]
    (held.folder / "0.npy").unlink()
    (held.folder / "1.npy").write_bytes((held.folder / "1.npy").read_bytes()[:-2])
    (held.folder / "2.npy").write_bytes(b"")
    assert all(held.estimates(i, LENGTH) is None for i in range(3))
    found = [kept.heard(test, held, model)(i) for i in range(3)]
    np.testing.assert_array_equal(found, before)
    without_models()
    np.testing.assert_array_equal([kept.heard(test, held, model)(i) for i in range(3)], before)


def test_another_model_does_not_find_them_and_removes_them(scored):
    folder, test, place = scored
    old = kept_of(place)
    shutil.copy(make_experiment("other", n_blocks=2) / "best_model.pth", folder)
    sha256 = evaluate._sha256(folder / "best_model.pth")
    assert kept.Kept(place, sha256).estimates(0, LENGTH) is None
    score(folder, test)
    assert not old.folder.exists()
    new = kept_of(place)
    assert new.folder.parent == old.folder.parent
    expected = windows.estimate(separators.load(folder / "best_model.pth"), test.mix(0), RATE)
    np.testing.assert_allclose(new.estimates(0, LENGTH), expected, rtol=2.0**-11, atol=2.0**-25)


def test_a_bound_on_bytes_holds(monkeypatch, capsys):
    each = kept.HEADER + 2 * 2 * LENGTH
    monkeypatch.setattr(kept, "LIMIT", 2 * 2 * each + 1)  # stage 2 may keep two, pages two more
    folder, test = make_experiment("set"), manifest.read(make_manifest("set", ROWS, LENGTH, RATE))
    place = score(folder, test)
    held = kept_of(place)
    files = sorted(held.folder.iterdir())
    assert [path.stat().st_size for path in files] == [each, each]
    estimate = kept.heard(test, held, folder / "best_model.pth")
    for i in range(ROWS):
        assert estimate(i).shape == (2, LENGTH)
    assert sum(path.stat().st_size for path in held.folder.iterdir()) == 4 * each


def test_the_choice_is_spread_over_the_manifest_and_its_repeats(monkeypatch):
    monkeypatch.setattr(kept, "LIMIT", 2 * 1000 * (kept.HEADER + 400))
    chosen = np.array(kept.choose([100] * 5000))
    assert len(chosen) == len(set(chosen)) == 1000
    for parts in (chosen // 1000, chosen % 5, chosen % 10 // 2):
        counts = np.bincount(parts, minlength=5)
        assert (np.abs(counts - 200) <= 5).all()
    assert kept.choose([100] * 999) == list(range(999))
    assert kept.choose([10**9]) == []


def test_no_room_costs_no_score(monkeypatch, capsys):
    monkeypatch.setattr(kept, "RESERVE", 2**70)
    folder, test = make_experiment("set"), manifest.read(make_manifest("set", ROWS, LENGTH, RATE))
    place = score(folder, test)
    assert score_table.read_scores(place)["si_sdr"].notna().all()
    assert f"no estimates kept of {ROWS} of {ROWS} examples" in capsys.readouterr().out
    assert not list(place.parent.rglob("*.npy"))


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e6])
def test_what_16_bits_do_not_hold_is_not_kept(tmp_path, odd):
    held = kept.Kept(experiment.Experiment(tmp_path).scores("h"), "0" * 64)
    held.keep(0, np.array([[0.0, odd], [0.0, 0.0]], np.float32))
    assert not held.has(0)
    held.keep(0, np.array([[0.0, 1.0], [0.0, 0.0]], np.float32))
    assert held.has(0)


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path):
    held = kept.Kept(experiment.Experiment(tmp_path).scores("h"), "0" * 64)
    held.folder.parent.parent.mkdir(parents=True)
    held.folder.parent.write_bytes(b"")  # a file where the folder would be
    held.keep(0, np.zeros((2, 3), np.float32))
    assert held.estimates(0, 3) is None

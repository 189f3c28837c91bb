"""Corpora as they come through stages 0 to 3: what is computed when read is what is scored."""

import csv
import sys
from pathlib import Path

import corpus_trees
import numpy as np
import pytest
import small_trainings

from local import evaluate, prepare, report, train
from local.corpus import manifest
from local.scoring import score_table

NARROW = small_trainings.NARROW | {"data.segment": 0.1, "trainer.max_epochs": 1}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def stages(monkeypatch, model, *options, changes=None):
    """Stages 0 to 3 in this process, of the tree ``corpus``; gives the scores."""
    changes = small_trainings.options(changes or {})
    common = ["--model", model, "--name", "corpus"]
    lines = (
        (prepare, ["--data", "corpus", *options]),
        (train, [*common, *changes]),
        (evaluate, [*common, "--metrics", "si_sdr", "--jobs", "1"]),
        (report, common),
    )
    for program, line in lines:
        monkeypatch.setattr(sys, "argv", [program.__name__, *line])
        program.main()
    [place] = Path("exp/corpus", model).glob("scores/*/scores.csv")
    assert place.with_name("index.html").is_file()
    return score_table.read_scores(place).to_dict("records"), place.parent


def si_sdr(estimate, target):
    target = target - target.mean()
    estimate = estimate - estimate.mean()
    projected = target * (estimate @ target) / (target @ target)
    return 10 * np.log10(np.sum(projected**2) / np.sum((estimate - projected) ** 2))


def test_noisy_minus_clean_is_trained_on_and_scored(monkeypatch):
    """A training of a network at another rate than the corpus has."""
    corpus_trees.voicebank_demand(Path("corpus"))
    rows, stage = stages(monkeypatch, "convtasnet", changes=NARROW)
    assert len(rows) == 8
    test = manifest.read("data/corpus/test.csv")
    for i in range(len(test)):
        noise, mix = test.source(i, "noise").astype(float), test.mix(i).astype(float)
        (row,) = [r for r in rows if (r["id"], r["source"]) == (test.row(i).id, "noise")]
        assert float(row["si_sdr_mix"]) == pytest.approx(si_sdr(mix, noise), abs=0.01)
        assert np.isfinite(float(row["si_sdr"]))
    summary = (stage / "summary.md").read_text()
    assert all(f" {level} " in summary for level in ("2.5", "7.5", "12.5", "17.5"))


def test_songs_are_scored_in_bins_of_their_snr(monkeypatch):
    """One channel of two, a noise of three files, and SNRs that nobody chose."""
    corpus_trees.musdb(Path("corpus"))
    rows, stage = stages(monkeypatch, "oracle", "--channel", "1")
    assert len(rows) == 4
    test = manifest.read("data/corpus/test.csv")
    with open(stage / "by_snr.csv", newline="") as file:
        bins = {row["snr_db"] for row in csv.DictReader(file)} - {"all"}
    edges = [tuple(float(edge) for edge in label.split(" to ")) for label in bins]
    for i in range(len(test)):
        (row,) = [r for r in rows if (r["id"], r["source"]) == (test.row(i).id, "voice")]
        mix, voice = test.mix(i).astype(float), test.source(i, "voice").astype(float)
        assert float(row["si_sdr_mix"]) == pytest.approx(si_sdr(mix, voice), abs=0.01)
        assert float(row["si_sdr"]) > float(row["si_sdr_mix"]) + 3
        assert any(low <= test.row(i).snr_db <= high for low, high in edges)

"""All stages on the embedded data, as a first user runs them: ./run.sh alone, then once more."""

import subprocess
import sys

import pandas
import pytest

from local.base import disk
from local.model import pretrained
from local.scoring import score_table

EXPERIMENT = f"exp/egs_data/{pretrained.default()}-first_look"


def run(checkout, *words):
    process = subprocess.run(
        ["./run.sh", f"--python={sys.executable}", *words],
        cwd=checkout, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-4000:]
    return process.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory, copy_checkout):
    """A checkout in which ./run.sh has run, and what that printed."""
    checkout = copy_checkout(tmp_path_factory.mktemp("end to end") / "a clone")
    return checkout, run(checkout)


def place(checkout):
    """The folder of the scores."""
    [scores] = (checkout / EXPERIMENT).glob("scores/*/scores.csv")
    return scores.parent


def test_every_stage_leaves_its_files(first):
    checkout, _ = first
    folder = place(checkout)
    paths = [
        *(checkout / "data/egs_data" / name for name in ("train.csv", "valid.csv", "test.csv")),
        *(checkout / EXPERIMENT / name for name in ("conf.yml", "best_model.pth")),
        *(folder / name for name in ("by_snr.csv", "summary.md", "index.html")),
    ]
    assert [path for path in paths if not path.is_file()] == []
    assert list((checkout / "exp/egs_data/compare").rglob("*.csv"))


def test_all_embedded_triplets_are_good_and_the_test_ones_are_scored(first):
    checkout, _ = first
    rows = {name: len(pandas.read_csv(checkout / f"data/egs_data/{name}.csv"))
            for name in ("train", "valid", "test", "rejected")}  # fmt: skip
    assert rows == {"train": 30, "valid": 10, "test": 10, "rejected": 0}
    scores = pandas.read_csv(place(checkout) / "scores.csv")
    assert len(scores) == 2 * rows["test"]
    assert scores["si_sdr"].notna().all()


def test_the_table_per_snr_and_the_page_are_printed(first):
    checkout, printed = first
    for level in ("-5", "0", "5", "10", "15"):
        assert any(line.split()[:1] == [level] for line in printed.splitlines()), printed
    assert str(place(checkout).relative_to(checkout) / "index.html") in printed


def test_both_sources_come_out_better(first):
    scores = score_table.read_scores(place(first[0]) / "scores.csv")
    assert (scores.groupby("source")["si_sdr_imp"].mean() > 3).all()


def test_the_weights_that_ship_were_trained_on_and_the_page_says_so(first):
    checkout, _ = first
    facts = disk.read_yaml(checkout / EXPERIMENT / "provenance.yml")
    assert facts["steps"] > 0
    page = (place(checkout) / "index.html").read_text()
    for word in (facts["init"]["file"], facts["init"]["sha256"][:12], facts["preset_is"]):
        assert word in page


def test_a_second_run_finds_it_all_done(first):
    checkout, _ = first
    kept = [checkout / EXPERIMENT / "best_model.pth", place(checkout) / "scores.csv"]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in kept]
    run(checkout)
    assert [path.read_bytes() for path in kept] == [content for content, _ in before]
    assert kept[0].stat().st_mtime_ns == before[0][1]


def test_a_later_stage_alone_finds_the_experiment(first):
    checkout, _ = first
    (place(checkout) / "index.html").unlink()
    run(checkout, "--stage=3", "--stop-stage=3")
    assert (place(checkout) / "index.html").is_file()

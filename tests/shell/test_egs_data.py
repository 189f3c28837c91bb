"""The embedded triplets: made anew to the same bytes, without a fault, nothing of test in train."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from local import ROOT
from local.corpus.splits import SPLITS
from local.corpus.triplets import look, scan

HERE = ROOT / "egs_data"
SNRS = [-5, 0, 5, 10, 15]


def rows(split=None):
    with open(HERE / "examples.csv", newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if split in (None, row["split"])]


def test_made_anew_to_the_same_bytes(tmp_path):
    command = [sys.executable, str(HERE / "make_egs_data.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    committed = [path for split in SPLITS for path in (HERE / split).rglob("*") if path.is_file()]
    assert made == sorted(path.relative_to(HERE) for path in committed)
    assert len(made) == 3 * 50 + 3
    for path in made:
        assert (tmp_path / path).read_bytes() == (HERE / path).read_bytes(), path


@pytest.mark.parametrize(("split", "count"), [("train", 30), ("valid", 10), ("test", 10)])
def test_every_folder_is_without_fault(split, count):
    folders, strays = scan(HERE, split)
    seen = [look(HERE, split, folder) for folder in folders]
    assert strays == []
    assert [one.rejections for one in seen] == [[]] * count
    examples = [example for one in seen for example in one.examples]
    assert len(examples) == count
    for row, fit in examples:
        assert (row.sample_rate, row.num_samples) == (16000, 32000)
        assert (fit.voice_gain, fit.noise_gain) == (1, 1)
        assert fit.snr_db == pytest.approx(row.snr_db, abs=0.01)
    assert sorted(row.snr_db for row, _ in examples) == sorted(SNRS * (count // 5))


def test_mixtures_are_sums_of_integers():
    for row in rows():
        folder = HERE / row["split"] / row["folder"]
        voice, noise, mix = (
            soundfile.read(folder / f"{name}.wav", dtype="int16")[0].astype(int)
            for name in ("voice", "noise", f"mix_snr_{row['snr_db']}")
        )
        np.testing.assert_array_equal(voice + noise, mix)


def test_nothing_of_a_split_in_another():
    variants = {s: {row["voice"].partition("+")[2] for row in rows(s)} for s in SPLITS}
    texts = {s: {row["text"] for row in rows(s)} for s in SPLITS}
    kinds = {s: {row["noise"] for row in rows(s)} for s in SPLITS}
    for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert variants[a].isdisjoint(variants[b])
        assert texts[a].isdisjoint(texts[b])
    assert kinds["test"].isdisjoint(kinds["train"] | kinds["valid"])
    assert len(kinds["train"]) == 8
    assert sum(map(len, texts.values())) == 50
    assert len({row["voice"] for row in rows()}) == 50


def test_groups_are_the_kinds_of_noise():
    for split in SPLITS:
        with open(HERE / split / "groups.csv", newline="", encoding="utf-8") as file:
            groups = {row["folder"]: row["group"] for row in csv.DictReader(file)}
        assert groups == {row["folder"]: row["noise"] for row in rows(split)}


def test_size():
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 11e6

"""A tree in a folder whose name is not UTF-8, through stages 0 to 3 and onto a page."""

import csv
import os
import subprocess
import sys

import numpy as np
import soundfile
from conftest import ROOT
from triplet_trees import make_tree

ODD = os.fsdecode(b"caf\xe9")


def stage(name, *options):
    command = [sys.executable, "-m", f"local.{name}", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_bytes_of_a_name_survive_every_stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ODD).mkdir()
    tree = make_tree(
        tmp_path / "tree", {"train": 2, "valid": 1, "test": 1}, rate=16000
    )  # the recipe's
    tree = tree.rename(tmp_path / ODD / "tree")
    stage("prepare", "--data", str(tree), "--name", "odd")
    common = ("--model", "mixture", "--name", "odd")
    stage("train", *common)
    stage("evaluate", *common, "--metrics", "si_sdr")
    stage("report", *common)
    [page] = (tmp_path / "exp" / "odd" / "mixture" / "scores").glob("*/index.html")
    page.read_text(encoding="utf-8")
    [heard] = page.parent.glob("audio/*.mixture.wav")
    [mix] = (tree / "test" / "0001").glob("mix_snr_*.wav")
    with open(mix, "rb") as file:  # soundfile takes no such path as text
        expected = soundfile.read(file, dtype="int16")[0]
    np.testing.assert_array_equal(soundfile.read(heard, dtype="int16")[0], expected)
    with open(page.with_name("scores.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    x = expected / 32768
    voice, _ = soundfile.read(open(tree / "test" / "0001" / "voice.wav", "rb"))  # noqa: SIM115
    x, voice = x - x.mean(), voice - voice.mean()
    target = voice * (x @ voice) / (voice @ voice)
    si_sdr = 10 * np.log10(np.sum(target**2) / np.sum((x - target) ** 2))
    assert abs(float(rows[0]["si_sdr"]) - si_sdr) < 0.01

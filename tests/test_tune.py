"""Trying settings on the valid split of the embedded data."""

import sys

import pandas
import pytest
import torch
import toy_recipes

from local import ROOT, prepare, tune
from local.base.errors import UserError
from local.corpus import manifest
from local.model import separators, windows
from local.training.losses import si_sdr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A working folder with the embedded data prepared, less the test split's manifest."""
    place = tmp_path_factory.mktemp("tune")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "argv", ["prepare", "--data", str(ROOT / "egs_data"), "--name", "egs"])
        prepare.main()
    (place / "data" / "egs" / "test.csv").unlink()  # it is never read
    return place


@pytest.fixture
def run(data, monkeypatch, capsys):
    """Run the program in this process; returns what it printed, in lines."""
    monkeypatch.chdir(data)

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["tune", "--name", "egs", *argv])
        capsys.readouterr()
        tune.main()
        return capsys.readouterr().out.splitlines()

    return run


def cells(line):
    """Name and numbers of a line of the table."""
    name, *numbers = line.rsplit(maxsplit=13)
    return name.strip(), [float(number) for number in numbers]


def test_every_combination_the_best_first(run):
    lines = run("--model", "wiener", "--model.noise_factor", "0.5,1", "--model.gain=wiener,logmmse")
    assert lines[0] == "Valid split, 10 mixtures; over all, then by SNR (dB)"
    assert lines[1].split()[3:] == [
        "voice", "noise", "voice", "-5", "voice", "0",
        "voice", "5", "voice", "10", "voice", "15", "noise", "-5", "noise", "0", "noise", "5",
        "noise", "10", "noise", "15", "failed",
    ]  # fmt: skip
    name, numbers = cells(lines[2])
    assert name == "mixture"
    assert numbers[2:7] == pytest.approx([-5, 0, 5, 10, 15], abs=0.2)
    assert numbers[0] == pytest.approx(5, abs=0.2)
    rows = dict(map(cells, lines[3:]))
    assert set(rows) == {
        f"model.noise_factor={factor} model.gain={gain}"
        for factor in ("0.5", "1") for gain in ("wiener", "logmmse")
    }  # fmt: skip
    voices = [numbers[0] for numbers in rows.values()]
    assert voices == sorted(voices, reverse=True)
    assert len(set(voices)) == 4
    for numbers in rows.values():  # two mixtures at each SNR
        assert sum(numbers[2:7]) / 5 == pytest.approx(numbers[0], abs=0.01)
        assert sum(numbers[7:12]) / 5 == pytest.approx(numbers[1], abs=0.01)
        assert numbers[12] == 0


def test_the_scores_are_those_of_the_recipe(run):
    [line] = run("--model", "spectral_subtraction", "--model.floor", "0.1", "--files", "5")[3:]
    name, numbers = cells(line)
    assert name == "model.floor=0.1"
    valid = manifest.read("data/egs/valid.csv")
    separator = separators.build("spectral_subtraction", floor=0.1)
    scores = {}
    for i in tune.spread(valid.rows["snr_db"], 5):
        estimates = windows.estimate(separator, valid.mix(i), valid.row(i).sample_rate)
        found = si_sdr(torch.from_numpy(estimates), torch.from_numpy(valid.sources(i)))
        scores[valid.row(i).snr_db] = found.tolist()
    assert sorted(scores) == [-5, 0, 5, 10, 15]
    expected = [[score[k] for _, score in sorted(scores.items())] for k in (0, 1)]
    assert numbers[2:7] == pytest.approx(expected[0], abs=0.01)
    assert numbers[7:12] == pytest.approx(expected[1], abs=0.01)


def test_what_is_learnt_is_learnt_anew_from_train(run, tmp_path, monkeypatch):
    fit = toy_recipes.FIT.replace(
        "return torch.stack([mix * self.arguments",
        "assert self.batches == 15\n        return torch.stack([mix * self.arguments",
    ).replace("def forward", "def unfitted", 1)
    forward = """
    def forward(self, mix):
        if not self.batches:  # it is run once where it is built
            return torch.stack([mix] * 2, 1)
        return self.unfitted(mix)
"""
    toy_recipes.make_recipe(tmp_path, "toy", fit + forward)
    toy_recipes.use_root(monkeypatch, tmp_path)
    lines = run("--model", "toy", "--data.batch_size=2", "--data.num_workers=0",
                "--model.gain", "0.5,2.0", "--files", "5")  # fmt: skip
    mixture, *rows = map(cells, lines[2:])
    assert [name.split()[-1] for name, _ in rows] == ["model.gain=0.5", "model.gain=2.0"]
    for _, numbers in rows:
        assert numbers == mixture[1]  # a gain changes no SI-SDR


def test_an_estimate_without_a_score_is_counted(run, tmp_path, monkeypatch):
    silent = toy_recipes.FIT.replace("def fit", "def unused")
    toy_recipes.make_recipe(tmp_path, "toy", silent, {"mixture_consistency": "none"})
    toy_recipes.use_root(monkeypatch, tmp_path)
    lines = run("--model", "toy", "--model.gain", "0.0,1.0", "--files", "5")
    assert lines[3].startswith("model.gain=1.0 ")
    assert lines[4].split() == ["model.gain=0.0", *["–"] * 12, "10"]


@pytest.mark.parametrize("count", [1, 4, 5, 9, 20, 100, None])
def test_each_snr_has_its_share(count):
    snr_db = pandas.Series([-5.0, 0.0, 5.0, 10.0] * 5)
    chosen = tune.spread(snr_db, count)
    assert len(chosen) == len(set(chosen)) == min(count or 20, 20)
    counts = snr_db.iloc[chosen].value_counts().reindex([-5.0, 0.0, 5.0, 10.0], fill_value=0)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model", "wiener", "--model.noise_factr", "1"], "did you mean 'model.noise_factor'"),
        (["--model", "wiener", "--model.noise_factor", "1,x"], "model.noise_factor expects"),
        (["--model", "wiener", "--model.noise_factor", "1,,2"], "values with commas between"),
        (["--model", "wiener", "--model.smoothing", "0.5,1.0"], "wiener refuses .* smoothing 1.0"),
        (["--model", "wiener", "--files", "0"], "--files expects 1 or more"),
        (["--model", "convtasnet", "--preset", "tiny"], "convtasnet has weights to train"),
        (["--model", "wiener", "--test"], "unrecognized arguments: --test"),
        (["--model", "wiener", "--name", "other"], "not there; stage 0 makes it"),
    ],
)
def test_faults_are_one_line(run, argv, said):
    with pytest.raises(UserError, match=said) as caught:
        run(*argv)
    assert "\n" not in str(caught.value)

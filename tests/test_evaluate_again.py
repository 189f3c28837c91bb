"""Stage 2 again: what is reused, what is scored anew, what an interruption leaves."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from evaluations import CHOSEN, SCORES, Runs, forget, read, same, scored
from scored_experiments import make_experiment, make_manifest
from triplet_trees import RATE

from local.base import disk, experiment
from local.base.errors import UserError
from local.corpus import manifest
from local.model import checkpoint
from local.scoring import score_table


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current directory, and a worker that has read nothing yet."""
    monkeypatch.chdir(tmp_path)
    forget()
    return tmp_path


@pytest.fixture
def trained():
    """A test manifest of five mixtures, and the folder of a tiny untrained Conv-TasNet."""
    return make_experiment("set"), manifest.read(make_manifest("set", 5, RATE))


def test_mixtures_are_scored_once_for_all_models(trained):
    folder, test = trained
    first, second, third = Runs(), Runs(), Runs()
    scored(folder, test, CHOSEN, run=first)
    assert [kind for kind, _, _ in first] == ["model", "mixture"]
    other = make_experiment("set", tag="other", n_blocks=2)
    place = scored(other, test, CHOSEN[:2], run=second)
    assert second == [("model", CHOSEN[:2], [0, 1, 2, 3, 4])]
    plain = experiment.EXPERIMENTS / "set" / ".mixture" / f"{test.hash}.csv"
    with pytest.raises(UserError):
        experiment.experiment_name(plain.parent.name)  # no experiment's folder, which may go
    kept = score_table.read_file(plain)
    np.testing.assert_array_equal(read(place)["snr_mix"], kept["snr"])
    scored(other, test, ["si_sir", *CHOSEN[:2]], run=third)  # more is added
    assert third == [(kind, ["si_sir"], [0, 1, 2, 3, 4]) for kind in ("model", "mixture")]
    more = score_table.read_file(plain)
    same(more[kept.columns], kept)
    assert list(more)[4:-1] == ["si_sdr", "si_sir", *CHOSEN[1:]]


def test_mixtures_that_are_lost_are_scored_again_alone(trained, capsys):
    folder, test = trained
    whole, runs = read(scored(folder, test, CHOSEN)), Runs()
    plain = experiment.EXPERIMENTS / "set" / ".mixture" / f"{test.hash}.csv"
    plain.unlink()
    place = scored(folder, test, ["snr"], run=runs)
    assert runs == [("mixture", CHOSEN, [0, 1, 2, 3, 4])]
    assert "scored before" in capsys.readouterr().out
    same(read(place), whole)


def test_more_metrics_are_added_to_those_there(trained):
    folder, test = trained
    place = scored(folder, test, ["stoi", "snr"])
    before, runs = read(place), Runs()
    scored(folder, test, ["si_sdr", "snr"], run=runs)
    assert [chosen for _, chosen, _ in runs] == [["si_sdr"]] * 2
    whole = read(place)
    assert disk.read_yaml(place.with_suffix(".yml"))["metrics"] == ["si_sdr", "snr", "stoi"]
    same(whole[before.columns], before)
    place.unlink()
    scored(folder, test, ["si_sdr", "snr", "stoi"])
    same(read(place), whole)


def test_finished_scores_stay_until_model_or_engine_change(trained, capsys):
    folder, test = trained
    place = scored(folder, test, CHOSEN)
    written, runs = place.stat().st_mtime_ns, Runs()
    scored(folder, test, CHOSEN[1:], run=runs)
    assert not runs
    assert place.stat().st_mtime_ns == written
    assert "scored before" in capsys.readouterr().out
    scored(folder, test, CHOSEN, "museval", run=runs)
    assert [kind for kind, _, _ in runs] == ["model", "mixture"]
    other = make_experiment("set", tag="other", n_blocks=2)
    os.replace(other / "best_model.pth", folder / "best_model.pth")
    runs.clear()
    means = place.with_name("by_snr.csv")
    means.write_text("of the model before")
    scored(folder, test, CHOSEN, "museval", run=runs)
    assert [kind for kind, _, _ in runs] == ["model"]
    assert not means.exists()


def test_scores_that_were_damaged_are_made_again(trained):
    folder, test = trained
    place = scored(folder, test, ["snr"])
    whole = read(place)
    place.write_text("nothing of use\n")
    scored(folder, test, ["snr"])
    same(read(place), whole)


def interrupted(folder, test, examples=3):
    """A partial file of so many examples; the scores that an uninterrupted run gives."""
    place = scored(folder, test, CHOSEN)
    whole = read(place)
    place.unlink()
    with pytest.raises(KeyboardInterrupt):
        scored(folder, test, CHOSEN, run=Runs(fails_after=examples))
    assert not place.exists()
    return place.with_name("scores.partial.csv"), whole


@pytest.mark.parametrize("cut", ["nothing", "torn line", "one source", "zeros", "only a head"])
def test_an_interrupted_evaluation_continues(trained, cut):
    folder, test = trained
    partial, whole = interrupted(folder, test)
    text = partial.read_bytes()
    lines = text.splitlines(keepends=True)
    assert len(lines) == 2 + 2 * 3  # last examples first: see Runs
    left, torn = {
        "nothing": ([0, 1], text),
        "torn line": ([0, 1, 2], text[:-9]),
        "one source": ([0, 1, 2], b"".join(lines[:-1])),
        "zeros": ([0, 1, 2], b"".join(lines[:-2]) + bytes(400)),
        "only a head": ([0, 1, 2, 3, 4], lines[0] + lines[1][:20]),
    }[cut]
    partial.write_bytes(torn)
    runs = Runs()
    place = scored(folder, test, CHOSEN, run=runs)
    assert runs == [("model", CHOSEN, left)]
    same(read(place), whole)
    assert not partial.exists()


@pytest.mark.parametrize("changed", ["model", "metrics", "engine"])
def test_a_partial_file_of_other_work_is_not_continued(trained, changed):
    folder, test = trained
    _, whole = interrupted(folder, test)
    chosen, engine, runs = CHOSEN, "fast", Runs()
    if changed == "model":
        other = make_experiment("set", tag="other", n_blocks=2)
        os.replace(other / "best_model.pth", folder / "best_model.pth")
    elif changed == "metrics":
        chosen = ["si_sdr", "snr"]
    else:
        engine = "museval"
    place = scored(folder, test, chosen, engine, run=runs)
    assert runs[0] == ("model", chosen, [0, 1, 2, 3, 4])
    expected = whole if changed == "engine" else None
    if expected is not None:
        same(read(place), expected)


def test_an_interruption_within_the_mixture_keeps_the_rest(trained):
    folder, test = trained
    with pytest.raises(KeyboardInterrupt):
        scored(folder, test, ["snr"], run=Runs(fails_after=5 + 2))
    runs = Runs()
    scored(folder, test, ["snr"], run=runs)
    assert runs == [("model", ["snr"], []), ("mixture", ["snr"], [0, 1, 2])]
    assert not list(folder.parent.rglob("*partial*"))


def program(*options, **more):
    """Stage 2 as a child process on the experiment of ``trained``."""
    command = [sys.executable, "-m", "local.evaluate", "--model", "convtasnet", "--preset", "tiny"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, *options], env=environment, text=True, **more)


def test_a_killed_program_continues(tmp_path):
    folder = make_experiment("set")
    test = manifest.read(make_manifest("set", 40, RATE))
    place = folder / "scores" / test.hash / SCORES
    partial = place.with_name("scores.partial.csv")
    for enough, sign in ((6, signal.SIGKILL), (20, signal.SIGINT)):
        child = program("--metrics", "si_sdr,stoi", "--jobs", "1", stderr=subprocess.DEVNULL)
        while child.poll() is None and (
            not partial.is_file() or partial.read_bytes().count(b"\n") < enough
        ):
            time.sleep(0.005)
        child.send_signal(sign)
        assert child.wait() == (-9 if sign == signal.SIGKILL else 130)
    runs = Runs()
    scored(folder, test, ["si_sdr", "stoi"], run=runs)
    assert 0 < len(runs[0][2]) <= 32
    continued = read(place)
    place.unlink()
    scored(folder, test, ["si_sdr", "stoi"])
    same(read(place), continued)


def test_scores_of_a_band_above_the_models_are_made_again(trained, monkeypatch):
    """What was scored before voices kept a share of it is not taken for what is scored now."""
    folder, test = trained
    place = scored(folder, test, ["si_sdr"])
    assert "above" not in disk.read_yaml(place.with_suffix(".yml"))
    package = checkpoint.read(folder / "best_model.pth")
    package["winnow"]["sample_rate"] = RATE // 2
    monkeypatch.setattr(checkpoint, "read", lambda path: package)
    run = Runs()
    scored(folder, test, ["si_sdr"], run=run)
    assert len(run) > 0
    assert disk.read_yaml(place.with_suffix(".yml"))["above"] == "follow"

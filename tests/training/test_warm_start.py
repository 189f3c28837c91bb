"""A training that starts from weights: what comes along, what is refused, and that it goes on."""

import subprocess
from pathlib import Path

import pytest
import small_trainings
import torch
import toy_recipes
from small_trainings import NARROW, RATE, SMALL

from local.base import disk, experiment
from local.base.errors import UserError
from local.base.experiment import Experiment
from local.model import checkpoint, pretrained
from local.training.system import System

COPY = {"trainer.max_epochs": 0}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A function that runs stage 1 in a folder with a data set ``d``; returns the experiment's."""
    small_trainings.prepare(tmp_path, monkeypatch)

    def run(model, *options, tag="", **changes):
        words = ["--model", model, *options, *(["--tag", tag] if tag else [])]
        small_trainings.run(monkeypatch, *words, changes=changes)
        return experiment.exp_dir("d", model, None, tag or None)

    return run


@pytest.fixture
def toys(stage, tmp_path, monkeypatch):
    """``stage`` where the recipes are ``loss``, ``fit`` and ``both``."""
    for name, source in (("loss", toy_recipes.LOSS), ("fit", toy_recipes.FIT),
                         ("both", toy_recipes.FIT_AND_DESCEND)):  # fmt: skip
        toy_recipes.make_recipe(tmp_path, name, source)
    toy_recipes.use_root(monkeypatch, tmp_path)
    monkeypatch.setattr(pretrained, "ROOT", tmp_path)
    return stage


def weights(folder: Path) -> dict:
    return checkpoint.read(folder / "best_model.pth")["state_dict"]


def facts(folder: Path) -> dict:
    return disk.read_yaml(folder / "provenance.yml")


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(one[key].equal(other[key]) for key in one)


def test_a_copy_has_the_weights_and_says_whose(stage, capsys):
    first = stage("convtasnet", **NARROW)
    copy = stage("convtasnet", "--init", str(first), tag="copy", **NARROW | COPY)
    assert same(weights(copy), weights(first))
    init = facts(copy)["init"]
    model = first / "best_model.pth"
    assert init["file"] == str(model)
    assert init["sha256"] == disk_hash(model)
    assert init["provenance"] == facts(first)
    assert "audio_seconds_seen" not in facts(copy)
    stage("convtasnet", "--init", str(first), tag="copy", **NARROW | COPY)
    assert "already trained" in capsys.readouterr().out
    again = stage("convtasnet", "--init", str(copy), tag="again", **NARROW | COPY)
    assert [start["file"] for start in experiment.starts(facts(again))] == [
        str(copy / "best_model.pth"), str(model)
    ]  # fmt: skip
    kept = checkpoint.read(again / "best_model.pth")["winnow"]["provenance"]
    assert experiment.starts(kept) == experiment.starts(facts(again))


def disk_hash(path: Path) -> str:
    """As coreutils compute it."""
    return subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0]


def test_it_gets_better_than_its_start_and_never_worse(toys):
    steps = SMALL | {"optim.lr": 0.1, "trainer.max_epochs": 3}
    first = toys("loss", **steps)
    second = toys("loss", "--init", str(first), tag="more", **steps)
    assert facts(second)["validation"]["val_loss"] < 0.9 * facts(first)["validation"]["val_loss"]
    package = checkpoint.read(first / "best_model.pth")
    package["state_dict"]["gains"] = torch.full((2,), 2.0)  # where the loss is 0
    torch.save(package, "best.pth")
    worse = steps | {"optim.optimizer": "sgd", "optim.lr": 3, "optim.weight_decay": 0.1}
    third = toys("loss", "--init", "best.pth", tag="best", **worse)
    assert facts(third)["best_epoch"] is None
    assert weights(third)["gains"].tolist() == [2.0, 2.0]


def test_weights_that_ship_are_named_by_the_recipe(toys, tmp_path):
    first = toys("loss", **SMALL)
    package = checkpoint.read(first / "best_model.pth")
    package["state_dict"]["gains"] = package["state_dict"]["gains"].half()
    checkpoint.write(tmp_path / "recipes/loss/pretrained/all.pth", package)
    copy = toys("loss", "--init", "loss", tag="copy", **SMALL | COPY)
    found = weights(copy)["gains"]
    assert found.dtype == torch.float32
    assert found.equal(package["state_dict"]["gains"].float())
    with pytest.raises(UserError, match="--init both: this recipe has no weights here"):
        toys("loss", "--init", "both", tag="other", **SMALL)


def test_a_checkpoint_of_asteroids_own(stage):
    from asteroid.models import ConvTasNet

    theirs = ConvTasNet(
        n_src=2, n_blocks=1, n_repeats=1, bn_chan=4, hid_chan=4, skip_chan=4, n_filters=8,
        kernel_size=32, stride=16, sample_rate=RATE,
    )  # fmt: skip
    package = theirs.serialize()
    assert "winnow" not in package
    assert type(package["infos"]["software_versions"]["torch_version"]) is not str
    torch.save(package, "theirs.pth")
    copy = stage("convtasnet", "--init", "theirs.pth", **NARROW | COPY)
    assert same(weights(copy), theirs.state_dict())
    torch.save(package | {"model_name": "DPRNNTasNet"}, "other.pth")
    with pytest.raises(UserError, match="weights of DPRNNTasNet, and convtasnet trains ConvTasNet"):
        stage("convtasnet", "--init", "other.pth", tag="other", **NARROW)
    package["state_dict"] = {key: w * float("nan") for key, w in package["state_dict"].items()}
    torch.save(package, "nan.pth")
    with pytest.raises(UserError, match="holds NaN or infinite values"):
        stage("convtasnet", "--init", "nan.pth", tag="nan", **NARROW)


def test_wrong_shapes_are_a_line_each_up_to_five_and_nothing_is_written(stage, capsys):
    first = stage("convtasnet", **NARROW)
    wide = NARROW | {"model.hid_chan": 6}
    capsys.readouterr()
    said = "does not fit convtasnet with these settings, which differ: hid_chan 4 there, 6 here; "
    with pytest.raises(UserError, match=said):
        stage("convtasnet", "--init", str(first), tag="wide", **wide)
    lines = capsys.readouterr().err.splitlines()
    expected = {key: value.shape for key, value in weights(first).items()}
    for line in lines[:5]:
        key, _, shapes = line.partition(": ")
        assert shapes.endswith(f"found {tuple(expected[key])}")
        assert "6" in shapes
    assert lines[5].startswith("and ")
    assert len(lines) == 6
    assert not Path("exp/d/convtasnet_wide").exists()
    made = stage("convtasnet", tag="wide", **wide)
    before = weights(made)
    with pytest.raises(UserError, match="does not fit"):
        stage("convtasnet", "--init", str(first), "--restart", tag="wide", **wide)
    assert same(weights(made), before)  # what stands there is not lost for it


def test_names_that_one_side_lacks(toys, capsys):
    first = toys("loss", **SMALL)
    package = checkpoint.read(first / "best_model.pth")
    package["state_dict"] = {"other": torch.zeros(3)}
    torch.save(package, "odd.pth")
    with pytest.raises(UserError, match="does not fit"):
        toys("loss", "--init", "odd.pth", tag="odd", **SMALL)
    said = capsys.readouterr().err
    assert "gains: expected (2,), found none" in said
    assert "other: the network has none" in said


def test_what_fit_learnt_comes_along_unless_it_is_asked_for_anew(toys):
    for name in ("fit", "both"):
        first = toys(name, **SMALL)
        learnt = weights(first)["loudness"].item()
        package = checkpoint.read(first / "best_model.pth")
        package["state_dict"]["loudness"] = torch.tensor(7.0)
        torch.save(package, "seven.pth")
        kept = toys(name, "--init", "seven.pth", tag="kept", **SMALL)
        anew = toys(name, "--init", "seven.pth", "--refit", tag="anew", **SMALL)
        assert weights(kept)["loudness"] == 7
        assert weights(anew)["loudness"].item() == learnt
        with pytest.raises(UserError, match=r"--init seven.pth -> seven.pth --refit"):
            toys(name, "--init", "seven.pth", "--refit", tag="kept", **SMALL)


def test_cut_off_and_continued_equals_uninterrupted(stage, monkeypatch):
    """It goes on from its own state, and the weights at the start may have gone."""
    changes = NARROW | {"trainer.checkpoint_steps": 1, "trainer.max_epochs": 4}
    first = stage("convtasnet", **NARROW)
    start = Path("start.pth")
    start.write_bytes((first / "best_model.pth").read_bytes())
    whole = stage("convtasnet", "--init", str(start), tag="whole", **changes)

    class Cut(Exception):
        pass

    def cut(system, *args):
        if system.global_step == 7:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(System, "on_before_zero_grad", cut)
        with pytest.raises(Cut):
            stage("convtasnet", "--init", str(start), tag="parts", **changes)
    start.unlink()
    parts = stage("convtasnet", "--init", str(start), tag="parts", **changes)
    states = [torch.load(Experiment(folder).last, weights_only=True) for folder in (whole, parts)]
    assert same(*(state["state_dict"] for state in states))
    assert same(weights(whole), weights(parts))
    assert facts(parts)["init"] == facts(whole)["init"]
    assert facts(parts)["validation"] == facts(whole)["validation"]


def test_another_start_is_another_experiment(toys):
    first = toys("loss", **SMALL)
    for options in ([], ["--init", str(first)]):
        tag = "begun" + "_init" * bool(options)
        toys("loss", *options, tag=tag, **SMALL)
        other = [] if options else ["--init", str(first)]
        with pytest.raises(UserError, match=r"other settings: --init .* -> .*--tag.*--restart"):
            toys("loss", *other, tag=tag, **SMALL)
    copy = toys("loss", "--init", str(first), tag="copy", **SMALL | COPY)
    toys("loss", "--restart", **SMALL | {"optim.lr": 0.5})
    with pytest.raises(UserError, match=r"--init .* \(another file than then\)"):
        toys("loss", "--init", str(first), tag="copy", **SMALL | COPY)
    assert weights(copy)["gains"].shape == (2,)


def test_what_means_nothing_without_it(toys):
    with pytest.raises(UserError, match=r"--trainer.max_epochs 0 goes with --init WEIGHTS only"):
        toys("loss", **SMALL | COPY)
    with pytest.raises(UserError, match="--refit goes with --init WEIGHTS only"):
        toys("loss", "--refit", **SMALL)
    first = toys("loss", **SMALL)
    begun = toys("loss", "--init", str(first), tag="a", **SMALL)
    disk.write_yaml(begun / "provenance.yml", facts(begun) | {"finished": None})
    with pytest.raises(UserError, match="holds a training that goes on"):
        toys("loss", "--init", str(first), tag="a", **SMALL | COPY)
    with pytest.raises(UserError, match="--restart would delete it"):
        toys("loss", "--init", str(first), "--restart", **SMALL)
    assert (first / "best_model.pth").is_file()

"""Stage 1: what is learnt, what is written, and that a continued training is the same one."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_trainings
import torch
import toy_recipes
from small_trainings import NARROW, SMALL
from small_trainings import run as stage

from local import ROOT
from local.base import config, disk, progress
from local.base.errors import UserError
from local.base.experiment import Experiment
from local.corpus import manifest
from local.model import checkpoint, separators


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a prepared data set ``d``: 6 training and 3 validation mixtures."""
    small_trainings.prepare(tmp_path, monkeypatch)
    return tmp_path


def child(place: Path, changes: dict, **options) -> subprocess.Popen:
    """Run stage 1 of convtasnet in a process of its own."""
    line = [sys.executable, "-m", "local.train", "--model", "convtasnet", "--name", "d"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        line + small_trainings.options(changes), cwd=place, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip


def weights(path: Path) -> torch.Tensor:
    """All weights of a model file, one after the other."""
    return torch.cat([w.flatten().double() for w in checkpoint.read(path)["state_dict"].values()])


def trained(place, name="convtasnet") -> Path:
    return place / "exp" / "d" / name


def test_writes_model_settings_and_provenance(place, monkeypatch, capsys):
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    folder = trained(place)
    separator = separators.load(folder / "best_model.pth")
    facts = disk.read_yaml(folder / "provenance.yml")
    assert disk.read_yaml(folder / "conf.yml") == config.read("convtasnet", None, NARROW)
    assert facts["train_hash"] == manifest.read("data/d/train.csv").hash
    assert facts["parameters"] == separators.count_parameters(separator)
    assert facts["macs_per_second"] > 0
    assert facts["audio_seconds_seen"] == pytest.approx(2 * 6 * 0.25)
    assert facts["training_seconds"] > 0
    assert {"val_si_sdr_voice", "val_si_sdr_noise_imp", "val_loss"} <= set(facts["validation"])
    assert separator.infos["seed"] == 0
    assert list((folder / "logs").glob("version_0/metrics.csv"))

    before = (folder / "best_model.pth").stat().st_mtime_ns
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    assert "already trained" in capsys.readouterr().out
    assert (folder / "best_model.pth").stat().st_mtime_ns == before


def test_a_log_file_holds_lines_not_bars(place):
    """All that a training says where its output is no terminal."""
    output, _ = child(place, NARROW).communicate(timeout=120)
    first, *notes, last = output.splitlines()
    assert "\r" not in output
    assert "\x1b" not in output
    assert first.startswith("convtasnet: ")
    assert notes == []
    assert last == "exp/d/convtasnet/best_model.pth: written"


def test_a_line_now_and_then(place, monkeypatch, capsys):
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    # 2 epochs of 6 mixtures in batches of 2
    assert [line.partition(",")[0] for line in lines] == ["epoch 1"] * 3 + ["epoch 2"] * 3
    assert [re.search(r"step (\d+), ", line)[1] for line in lines] == list("123456")
    assert all(re.search(r"gone: loss -?\d+\.\d{3}", line) for line in lines)
    assert "val_loss" in lines[-1]


def test_the_precision_taken_and_its_price_are_said(place, monkeypatch, capsys):
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)  # a CPU without bfloat16
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW | {"trainer.precision": "auto"})
    facts = disk.read_yaml(trained(place) / "provenance.yml")
    assert facts["precision"] == "32-true"
    assert "bfloat16" not in capsys.readouterr().err
    stage(monkeypatch, "--model", "convtasnet", "--tag", "half",
          changes=NARROW | {"trainer.precision": "bf16-mixed"})  # fmt: skip
    facts = disk.read_yaml(trained(place, "convtasnet_half") / "provenance.yml")
    assert facts["precision"] == "bf16-mixed"
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "bfloat16" in line)
    assert re.search(r"took \d+\.\d times as long", line)


def test_other_settings_are_refused_and_more_epochs_continue(place, monkeypatch):
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    with pytest.raises(UserError, match=r"optim\.lr 0\.001 -> 0\.0001.*--tag.*--restart"):
        stage(monkeypatch, "--model", "convtasnet", changes=NARROW | {"optim.lr": "1e-4"})
    stage(monkeypatch, "--model", "convtasnet",
          changes=NARROW | {"trainer.max_epochs": 3, "log.every_n_steps": 2})  # fmt: skip
    facts = disk.read_yaml(trained(place) / "provenance.yml")
    assert facts["epochs"] == 3
    assert facts["audio_seconds_seen"] == pytest.approx(3 * 6 * 0.25)
    stage(monkeypatch, "--model", "convtasnet", "--restart",
          changes=NARROW | {"optim.lr": "1e-4"})  # fmt: skip
    assert disk.read_yaml(trained(place) / "provenance.yml")["epochs"] == 2


@pytest.mark.parametrize(("split", "words"), [("train", "training"), ("valid", "validation")])
def test_other_data_are_refused(place, monkeypatch, split, words):
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    path = place / "data" / "d" / f"{split}.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(UserError, match=f"the {words} manifest"):
        stage(monkeypatch, "--model", "convtasnet", changes=NARROW)


@pytest.mark.parametrize("name", ["conf.yml", "provenance.yml"])
@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "seed: 2020-13-45", "a: &a [1]\nb: *a", "", None],
    ids=["brackets", "date", "alias", "empty", "folder"],
)
def test_a_damaged_file_of_an_experiment_is_a_line(place, monkeypatch, name, content):
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    path = trained(place) / name
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    damaged = path.is_file() and path.read_text()
    with pytest.raises(UserError, match=rf"^exp/d/convtasnet/{name}[:,].*--restart"):
        stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    assert (path.is_file() and path.read_text()) == damaged
    stage(monkeypatch, "--model", "convtasnet", "--restart", changes=NARROW)


@pytest.mark.parametrize(
    ("key", "value"),
    [("recipe", 3), ("seed", "x"), ("training_seconds", "long"), ("finished", [1]),
     ("finished", {"max_epochs": "many", "max_time": None})],
)  # fmt: skip
def test_a_fact_of_the_wrong_type_is_a_line(place, monkeypatch, key, value):
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW)
    path = trained(place) / "provenance.yml"
    disk.write_yaml(path, disk.read_yaml(path) | {key: value})
    named = "max_epochs" if value == {"max_epochs": "many", "max_time": None} else key
    with pytest.raises(UserError, match=f"provenance.yml: expected '{named}' of type"):
        stage(monkeypatch, "--model", "convtasnet", changes=NARROW)


@pytest.mark.parametrize(
    "changes",
    [
        {"scheduler.name": "ReduceLROnPlateau", "scheduler.arguments": "{patience: 0}"},
        {"scheduler.name": "ExponentialLR", "scheduler.arguments": "{gamma: 0.7}"},
        {
            "scheduler.name": "ExponentialLR",
            "scheduler.arguments": "{gamma: 0.9}",
            "scheduler.interval": "step",
        },
    ],
    ids=["plateau", "epoch", "step"],
)
def test_continued_at_an_epoch_equals_uninterrupted(place, monkeypatch, changes):
    changes = NARROW | changes
    stage(monkeypatch, "--model", "convtasnet", "--tag", "whole",
          changes=changes | {"trainer.max_epochs": 4})  # fmt: skip
    stage(monkeypatch, "--model", "convtasnet", "--tag", "parts", changes=changes)
    stage(monkeypatch, "--model", "convtasnet", "--tag", "parts",
          changes=changes | {"trainer.max_epochs": 4})  # fmt: skip
    same_training(place, "convtasnet_whole", "convtasnet_parts")


def same_training(place, one, other):
    """Weights, optimiser and scheduler of two trainings agree."""
    states = [torch.load(Experiment(trained(place, name)).last, weights_only=True)
              for name in (one, other)]  # fmt: skip
    for name, value in states[0]["state_dict"].items():
        torch.testing.assert_close(states[1]["state_dict"][name], value, atol=1e-6, rtol=0)
    lrs = [state["optimizer_states"][0]["param_groups"][0]["lr"] for state in states]
    assert lrs[0] == pytest.approx(lrs[1])
    assert states[0]["global_step"] == states[1]["global_step"]
    assert states[0]["winnow"]["audio_seconds"] == states[1]["winnow"]["audio_seconds"]


@pytest.mark.parametrize(
    ("limits", "low", "high"),
    [
        ({"trainer.max_epochs": 2}, 0.1, 0.1),
        # the clock has hardly moved, and of the epochs, too, only a hundredth is over
        ({"trainer.max_epochs": 200, "trainer.max_time": "00:10:00:00", "stop": 2}, 0.99, 1.0),
    ],
    ids=["epochs", "clock"],
)
def test_a_schedule_over_the_run_ends_with_it(place, monkeypatch, limits, low, high):
    limits = dict(limits)
    stop = limits.pop("stop", None)
    if stop:
        hook = "local.training.system.System.on_train_epoch_start"
        monkeypatch.setattr(hook, lambda system: setattr(
            system.trainer, "should_stop", system.current_epoch >= stop - 1))  # fmt: skip
    changes = {"scheduler.name": "CosineOverRun", "scheduler.interval": "step",
               "scheduler.arguments": "{warmup: 0.0, floor: 0.1}", "optim.lr": "1e-3"}  # fmt: skip
    stage(monkeypatch, "--model", "convtasnet", changes=NARROW | changes | limits)
    state = torch.load(Experiment(trained(place)).last, weights_only=True)
    lr = state["optimizer_states"][0]["param_groups"][0]["lr"]
    assert low * 1e-3 * 0.999 <= lr <= high * 1e-3 * 1.001


def test_killed_inside_an_epoch_equals_uninterrupted(place, monkeypatch):
    """kill -9 after a checkpoint between two epochs; the same command goes on from there."""
    changes = NARROW | {"trainer.checkpoint_steps": 1, "trainer.max_epochs": 40}
    process = child(place, changes)
    last = Experiment(trained(place)).last
    deadline = time.monotonic() + 120
    middle = False
    while not middle:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        if last.is_file():
            state = torch.load(last, weights_only=True)
            middle = state["global_step"] % 3 != 0 and state["global_step"] > 3
    process.kill()
    process.communicate()
    assert torch.load(last, weights_only=True)["global_step"] < 120
    assert not (trained(place) / "best_model.pth").exists()
    stage(monkeypatch, "--model", "convtasnet", changes=changes)
    stage(monkeypatch, "--model", "convtasnet", "--tag", "whole", changes=changes)
    same_training(place, "convtasnet_whole", "convtasnet")


def test_interrupted_by_the_user_says_how_to_go_on(place):
    changes = NARROW | {"trainer.max_epochs": 100000}
    process = child(place, changes)
    last = Experiment(trained(place)).last
    deadline = time.monotonic() + 120
    while not last.is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in output
    assert "Traceback" not in output
    torch.load(last, weights_only=True)


def test_two_processes_train_like_one(place):
    """The same global batches: the validation losses agree, and one process writes."""
    losses, changes = [], NARROW | {"trainer.max_epochs": 3}
    for devices in (1, 2):
        process = child(place, changes | {"trainer.devices": devices})
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        folder = trained(place)
        losses.append(disk.read_yaml(folder / "provenance.yml")["validation"]["val_loss"])
        if devices == 1:
            folder.rename(place / "alone")
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert len(list((folder / "logs").glob("version_*"))) == 1
    assert torch.allclose(weights(folder / "best_model.pth"),
                          weights(place / "alone" / "best_model.pth"), atol=1e-3)  # fmt: skip


def test_the_models_own_loss_is_what_is_trained(place, monkeypatch):
    toy_recipes.make_recipe(place, "toy", toy_recipes.LOSS)
    toy_recipes.use_root(monkeypatch, place)
    stage(monkeypatch, "--model", "toy", changes=SMALL | {"trainer.max_epochs": 6, "optim.lr": 0.3})
    gains = checkpoint.read(trained(place, "toy") / "best_model.pth")["state_dict"]["gains"]
    assert (gains - 2).abs().max() < 1
    facts = disk.read_yaml(trained(place, "toy") / "provenance.yml")
    expected = float((gains - 2).square().sum())
    assert facts["validation"]["val_loss"] == pytest.approx(expected, abs=1e-3)
    assert "val_loss_distance" in facts["validation"]


def test_what_is_learnt_without_gradients(place, monkeypatch, capsys):
    toy_recipes.make_recipe(place, "fit", toy_recipes.FIT)
    toy_recipes.make_recipe(place, "both", toy_recipes.FIT_AND_DESCEND)
    toy_recipes.make_recipe(place, "oracle", toy_recipes.ORACLE)
    toy_recipes.use_root(monkeypatch, place)
    for name in ("fit", "both", "oracle"):
        stage(monkeypatch, "--model", name)
    states = {name: checkpoint.read(trained(place, name) / "best_model.pth")["state_dict"]
              for name in ("fit", "both")}  # fmt: skip
    assert states["fit"]["batches"] == 3
    assert states["fit"]["loudness"] > 0
    assert states["both"]["loudness"] == states["fit"]["loudness"]
    assert (states["both"]["gains"] != 0.5).all()
    assert "nothing is trained" in capsys.readouterr().out
    assert separators.load(trained(place, "oracle") / "best_model.pth").needs_sources


def test_an_oracle_with_parameters_is_refused(place, monkeypatch):
    source = toy_recipes.ORACLE.replace(
        "self.arguments =", "self.w = __import__('torch').nn.Linear(1, 1)\n        self.arguments ="
    )
    toy_recipes.make_recipe(place, "toy", source)
    toy_recipes.use_root(monkeypatch, place)
    with pytest.raises(UserError, match="it cannot be trained"):
        stage(monkeypatch, "--model", "toy")


def test_a_diverging_loss_stops_and_keeps_the_last_good_checkpoint(place, monkeypatch):
    source = toy_recipes.LOSS.replace(
        "distance = (self", "self.calls = getattr(self, 'calls', 0) + 1\n"
        "        distance = (float('nan') if self.calls > 7 else 1) * (self"
    )  # fmt: skip
    toy_recipes.make_recipe(place, "toy", source)
    toy_recipes.use_root(monkeypatch, place)
    with pytest.raises(UserError, match="became nan in epoch 1"):
        stage(monkeypatch, "--model", "toy", changes=SMALL | {"trainer.max_epochs": 9})
    state = torch.load(Experiment(trained(place, "toy")).last, weights_only=True)
    assert state["epoch"] == 0
    assert all(value.isfinite().all() for value in state["state_dict"].values())


def test_the_order_after_permutation_invariant_training_is_the_majoritys(place, monkeypatch):
    """A network whose first output resembles the noise: its outputs are named so."""
    source = toy_recipes.PLAIN.replace(
        "return self.gains.unsqueeze(-1) * mix.unsqueeze(1)",
        "smooth = torch.nn.functional.avg_pool1d(mix.unsqueeze(1), 33, 1, 16)\n"
        "        both = torch.cat((mix.unsqueeze(1) - smooth, smooth), 1)\n"
        "        return both + 0 * self.gains.unsqueeze(-1)",
    )
    toy_recipes.make_recipe(place, "toy", source, {"loss.permutation": "pit"})
    toy_recipes.use_root(monkeypatch, place)
    stage(monkeypatch, "--model", "toy")
    package = checkpoint.read(trained(place, "toy") / "best_model.pth")
    assert package["winnow"]["sources"] == ["noise", "voice"]
    separator = separators.load(trained(place, "toy") / "best_model.pth")
    mix = torch.randn(1, 4000)
    raw = separator.network(mix)
    projected = separators.make_consistent(mix, raw.flip(1), separator.consistency)
    torch.testing.assert_close(separator(mix), projected)


def test_max_time_counts_over_interruptions(place, monkeypatch):
    changes = NARROW | {"trainer.max_time": "00:00:00:01", "trainer.max_epochs": 100000}
    stage(monkeypatch, "--model", "convtasnet", changes=changes)
    once = disk.read_yaml(trained(place) / "provenance.yml")
    assert once["training_seconds"] >= 1
    stage(monkeypatch, "--model", "convtasnet",
          changes=changes | {"trainer.max_time": "00:00:00:02"})  # fmt: skip
    twice = disk.read_yaml(trained(place) / "provenance.yml")
    assert twice["steps"] > once["steps"]
    assert twice["training_seconds"] >= 2
    with pytest.raises(UserError, match="DD:HH:MM:SS"):
        stage(monkeypatch, "--model", "convtasnet", changes=NARROW | {"trainer.max_time": "1h"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim.optimizer": "adm"}, "did you mean 'adam"),
        ({"optim.optimizer": "ranger"}, "unknown 'ranger'"),
        ({"optim.arguments": "{bets: [0.9, 0.99]}"}, "takes no 'bets'; did you mean 'betas'"),
        ({"scheduler.name": "CosineAnealingLR"}, "did you mean 'CosineAnnealingLR'"),
        ({"scheduler.name": "CosineAnnealingLR"}, "takes no 'factor'"),
        ({"scheduler.name": "StepLR", "scheduler.arguments": "{}"}, "step_size"),
    ],
)
def test_faults_of_optimiser_and_scheduler_are_one_line(place, monkeypatch, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        stage(monkeypatch, "--model", "convtasnet", changes=NARROW | changes)
    assert "\n" not in str(caught.value)


def test_missing_input_names_its_stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="stage 0 makes it"):
        stage(monkeypatch, "--model", "convtasnet")

"""What TensorBoard and wandb (offline) are given; a continued training is one run there."""

import contextlib
import importlib.metadata
import json
import sys
import time

import numpy as np
import pytest
import soundfile
import torch
import toy_recipes
import triplet_trees

from local import SOURCES, train
from local.base import disk
from local.base.errors import UserError
from local.corpus import manifest
from local.training import mixtures, refusals, trackers

RATE = 8000
CHANGES = {
    "data.sample_rate": RATE, "data.segment": 0.25, "data.batch_size": 2, "data.num_workers": 0,
    "trainer.accelerator": "cpu", "log.every_n_steps": 1, "log.examples_every": 2,
}  # fmt: skip
HEARD = ["mixture", *SOURCES, *(f"{source} estimate" for source in SOURCES)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a data set ``d``, 4 training and 5 validation mixtures, and a toy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb_cache"))
    tree = triplet_trees.make_tree(tmp_path / "tree", {"train": 4, "valid": 5}, rate=RATE)
    triplet_trees.prepare(tree, "d", ("train", "valid"), RATE)
    toy_recipes.make_recipe(tmp_path, "toy", toy_recipes.PLAIN)
    toy_recipes.use_root(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def stage(monkeypatch):
    """A function that runs stage 1 of the toy up to an epoch."""

    def run(epochs: int, **log):
        changes = CHANGES | {"trainer.max_epochs": epochs}
        changes |= {f"log.{key}": value for key, value in log.items()}
        words = [f"--{key}={value}" for key, value in changes.items()]
        monkeypatch.setattr(sys, "argv", ["train.py", "--model=toy", "--name=d", *words])
        train.main()

    return run


def records(run) -> list:
    """All that a run of wandb has written, as its own reader finds it.

    A process of wandb's writes them, and may do so after the training's end.
    """
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    [path] = run.glob("run-*.wandb")
    for _ in range(600):
        store, found = DataStore(), []
        store.open_for_scan(str(path))
        with contextlib.suppress(AssertionError):  # a record that is half there
            while data := store.scan_data():
                found.append(Record.FromString(data))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path}: no end")


def history(run) -> list[dict]:
    """What was logged, line by line; of a picture or a sound, what is said of its file."""
    lines = []
    for record in records(run):
        if record.WhichOneof("record_type") == "history":
            lines.append({})
            for item in record.history.item:
                key, *inner = [item.key] if item.key else item.nested_key
                value = json.loads(item.value_json)
                if inner:
                    lines[-1].setdefault(key, {})[inner[0]] = value
                else:
                    lines[-1][key] = value
    return lines


def settings(run) -> dict:
    found = {}
    for record in records(run):
        if record.WhichOneof("record_type") == "config":
            found |= {item.key or item.nested_key[0]: json.loads(item.value_json)
                      for item in record.config.update}  # fmt: skip
    return found


def examples(place) -> list[str]:
    valid = manifest.read(place / "data" / "d" / "valid.csv")
    conf = {"sample_rate": RATE, "segment": 0.25}
    data = mixtures.validation(valid, conf)
    return [valid.row(data.places[i][0]).id for i in trackers.chosen(data)]


def test_wandb_offline_has_settings_losses_and_examples_and_continues_its_run(place, stage, capfd):
    stage(1, wandb=True)
    stage(3, wandb=True)
    assert capfd.readouterr().err == ""
    logs = place / "exp" / "d" / "toy" / "logs" / "wandb"
    first, second = sorted(logs.glob("offline-run-*"))
    of_run = disk.read_yaml(logs / "run.yml")["id"]
    assert {path.name.rpartition("-")[2] for path in (first, second)} == {of_run}
    found = settings(first)
    assert found["optim.lr"] == 1e-3
    assert found["data.snr_db"] == [-5.0, 15.0]
    lines = [history(run) for run in (first, second)]
    steps = [[line["trainer/global_step"] for line in part] for part in lines]
    assert max(steps[0]) <= min(steps[1])
    for part in lines:
        keys = set().union(*part)
        assert {"loss", "val_loss", "lr"} <= keys
        assert {f"val_si_sdr_{source}" for source in SOURCES} <= keys
    for name in examples(place):
        # the first epoch, then the third; what does not change is heard once
        media = [[key for key in set().union(*part) if key.startswith(f"{name}/")]
                 for part in lines]  # fmt: skip
        assert sorted(media[0]) == sorted(f"{name}/{what}" for what in [*HEARD, "spectrograms"])
        changing = [f"{source} estimate" for source in SOURCES]
        assert sorted(media[1]) == sorted(f"{name}/{what}" for what in [*changing, "spectrograms"])
        line = next(line for line in lines[0] if f"{name}/mixture" in line)
        path = first / "files" / line[f"{name}/mixture"]["audio"][0]["path"]
        assert soundfile.info(path).frames == RATE // 4


def test_tensorboard_has_the_same(place, stage):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stage(1, tensorboard=True)
    stage(3, tensorboard=True)
    logs = place / "exp" / "d" / "toy" / "logs" / "tensorboard"
    assert len(list(logs.glob("events*"))) >= 2  # of two starts, in one run
    found = EventAccumulator(str(logs)).Reload()
    tags = found.Tags()
    assert {"loss", "val_loss", *(f"val_si_sdr_{source}" for source in SOURCES)} <= set(
        tags["scalars"]
    )
    assert [event.step for event in found.Scalars("val_loss")] == [1, 3, 5]
    assert disk.read_yaml(logs / "hparams.yaml")["optim.lr"] == 1e-3
    names = examples(place)
    assert sorted(tags["images"]) == sorted(f"{name}/spectrograms" for name in names)
    assert sorted(tags["audio"]) == sorted(f"{name}/{what}" for name in names for what in HEARD)
    assert [event.step for event in found.Images(f"{names[0]}/spectrograms")] == [2, 6]
    assert len(found.Audio(f"{names[0]}/mixture")) == 1


def test_nothing_is_drawn_where_nobody_looks(place, stage, monkeypatch):
    monkeypatch.setattr(trackers, "chosen", None)
    stage(1)
    stage(2, tensorboard=True, examples_every="null")
    assert (place / "exp" / "d" / "toy" / "best_model.pth").is_file()


def test_following_a_training_does_not_change_it(place, stage):
    weights = []
    for log in ({}, {"tensorboard": True, "examples_every": 1}):
        stage(3, **log)
        path = place / "exp" / "d" / "toy"
        weights.append(torch.load(path / "best_model.pth", weights_only=True)["state_dict"])
        path.rename(place / f"kept_{len(weights)}")
    assert torch.equal(weights[0]["gains"], weights[1]["gains"])


def test_examples_are_few_spread_over_the_snrs_and_the_same_each_time(place):
    valid = manifest.read(place / "data" / "d" / "valid.csv")
    data = mixtures.validation(valid, {"sample_rate": RATE, "segment": 0.1})
    chosen = trackers.chosen(data)
    assert chosen == trackers.chosen(data)
    rows = [data.places[i] for i in chosen]
    assert all(start == 0 for _, start in rows)
    levels = np.sort([valid.row(i).snr_db for i in range(len(valid))])
    found = [valid.row(row).snr_db for row, _ in rows]
    assert found == [levels[len(levels) * k // 6] for k in (1, 3, 5)]


def test_without_the_package_there_is_one_line_before_any_work(place, stage, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(refusals.importlib.metadata, "version", missing)
    with pytest.raises(UserError, match=r"log.wandb needs the package wandb: ./run.sh --log.wandb"):
        refusals.check_packages({"wandb": True})
    refusals.check_packages({"wandb": False})


def test_online_without_an_account_is_one_line(place, stage, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(place))
    with pytest.raises(UserError, match=r"log\.wandb_mode offline needs no account"):
        stage(1, wandb=True, wandb_mode="online")

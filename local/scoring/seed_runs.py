"""Trainings that differ in their seed only, and whether scores are of the model that is there."""

import hashlib
from pathlib import Path

from local.base import config, disk
from local.base.errors import UserError

SAME_CONF = ("trainer.max_epochs", "trainer.max_time")  # free to change, but not between seeds


SAME_FACTS = ("recipe", "preset", "train_hash", "valid_hash")


def check_model(model: Path, scored: Path) -> None:
    """Raise a UserError where the model is no longer the one that was scored."""
    with open(model, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if disk.read_yaml(scored).get("model_sha256") != found:
        raise UserError(f"{model} has changed since {scored} was written; run stage 2 again")


def siblings(folder: Path, test_hash: str) -> dict[int, Path]:
    """Trainings that differ from this one in their seed only: seed -> scores.csv.

    Recipe, preset, data and settings are the same, and so is the test set. This experiment is
    one of them. Of two with one seed the first by name counts, and this one before all.
    """
    conf, facts = (disk.read_yaml(folder / name) for name in ("conf.yml", "provenance.yml"))
    flat, found = config.flatten(conf), {conf["seed"]: folder / "scores" / test_hash / "scores.csv"}
    for other in sorted(folder.parent.iterdir()):
        path = other / "scores" / test_hash / "scores.csv"
        files = [other / "conf.yml", other / "provenance.yml"]
        if all(file.is_file() for file in (path, *files)):
            their_conf, their_facts = map(disk.read_yaml, files)
            their_flat = config.flatten(their_conf)
            same = config.differences(conf, their_conf) == ["seed"]
            same &= all(flat.get(key) == their_flat.get(key) for key in SAME_CONF)
            same &= all(facts.get(key) == their_facts.get(key) for key in SAME_FACTS)
            if same:
                found.setdefault(their_conf["seed"], path)
    return found

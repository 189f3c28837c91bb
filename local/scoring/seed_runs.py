"""Trainings that differ only in their seed, and whether scores belong to the present model."""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas

from local.base import config, disk, experiment
from local.base.errors import UserError, refusal
from local.scoring import score_table

SAME_CONF = ("trainer.max_epochs", "trainer.max_time")  # free to change, but not between seeds


SAME_FACTS = ("recipe", "preset", "train_hash", "valid_hash")


def check_model(model: Path, scored: Path) -> None:
    """Raise a UserError if the model has changed since it was scored."""
    with open(model, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if disk.read_yaml(scored, score_table.SCORED)["model_sha256"] != found:
        raise UserError(f"{model} has changed since {scored} was written; run stage 2 again")


def siblings(folder: Path, test_hash: str, among: Iterable[Path] | None = None) -> dict[int, Path]:
    """Trainings that differ from this one only in their seed: seed -> scores.csv.

    Recipe, preset, data and settings are the same, and so is the test set. This experiment is
    one of them. Of two with one seed the first by name counts, and this one before all.

    Args:
        folder: of the experiment.
        test_hash: of the test manifest.
        among: folders to look at; None: all beside it. Of these, what is damaged is a line.
    """
    conf, facts = read_settings(folder)
    flat, found = config.flatten(conf), {conf["seed"]: folder / "scores" / test_hash / "scores.csv"}
    for other in sorted(folder.parent.iterdir() if among is None else among):
        path = other / "scores" / test_hash / "scores.csv"
        try:
            files = (path, other / "conf.yml", other / "provenance.yml")
            if not all(file.exists() for file in files):
                continue
            their_conf, their_facts = read_settings(other)
        except (UserError, OSError) as error:
            print("left out, because its settings cannot be read:"
                  f" {refusal(error) or error}", file=sys.stderr)  # fmt: skip
            continue
        their_flat = config.flatten(their_conf)
        same = config.differences(conf, their_conf) == ["seed"]
        same &= all(flat.get(key) == their_flat.get(key) for key in SAME_CONF)
        same &= all(facts.get(key) == their_facts.get(key) for key in SAME_FACTS)
        same &= _start(facts) == _start(their_facts)
        if same:
            found.setdefault(their_conf["seed"], path)
    return found


def scores_of_seeds(folder: Path, test_hash: str) -> dict[int, pandas.DataFrame]:
    """Scores of an experiment and its ``siblings``: seed -> what ``read_scores`` read.

    Another one's that are damaged are left out with a line.

    Raises:
        UserError: its own are damaged.
    """
    found = {}
    for seed, path in siblings(folder, test_hash).items():
        try:
            found[seed] = score_table.read_scores(path)
        except UserError as error:
            if path.is_relative_to(folder):
                raise
            print(f"seed {seed} is left out: {error}", file=sys.stderr)
    return found


def _start(facts: dict) -> tuple:
    """What a training started from."""
    init = facts.get("init") or {}
    return init.get("sha256"), init.get("refit")


def read_settings(folder: Path) -> tuple[dict, dict]:
    """The settings and the facts of an experiment: conf.yml and provenance.yml.

    Raises:
        UserError: one of them is missing or damaged.
    """
    conf = disk.read_yaml(folder / "conf.yml", {"seed": int})
    return conf, disk.read_yaml(folder / "provenance.yml", experiment.FACTS)

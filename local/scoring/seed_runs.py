"""Trainings that differ only in their seed, and whether scores belong to the present model."""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas

from local.base import config, disk
from local.base.errors import UserError, refusal
from local.base.experiment import Experiment
from local.scoring import score_table

SAME_CONF = ("trainer.max_epochs", "trainer.max_time")  # free to change, but not between seeds


SAME_FACTS = ("recipe", "preset", "train_hash", "valid_hash")


def check_model(model: Path, scored: Path) -> None:
    """Raise a UserError if the model has changed since it was scored."""
    with open(model, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if disk.read_yaml(scored, score_table.SCORED)["model_sha256"] != found:
        raise UserError(f"{model} has changed since {scored} was written; run stage 2 again")


def siblings(
    of: Experiment, test_hash: str, among: Iterable[Experiment] | None = None
) -> dict[int, Experiment]:
    """Trainings that differ from this one only in their seed: seed -> experiment.

    Recipe, preset, data and settings are the same, and so is the test set. This experiment is
    one of them. Of two with one seed the first by name counts, and this one before all.

    Args:
        of: the experiment.
        test_hash: of the test manifest.
        among: experiments to look at; None: all beside it. Of these, what is damaged is a line.
    """
    if among is None:
        among = map(Experiment, sorted(of.folder.parent.iterdir()))
    flat, found = config.flatten(of.conf), {of.conf["seed"]: of}
    for other in among:
        try:
            files = (other.scores(test_hash), other.model, other.conf_path, other.facts_path)
            if not all(file.exists() for file in files):
                continue
            conf, facts = other.conf, other.facts
        except (UserError, OSError) as error:
            print("left out, because its settings cannot be read:"
                  f" {refusal(error) or error}", file=sys.stderr)  # fmt: skip
            continue
        their_flat = config.flatten(conf)
        same = config.differences(of.conf, conf) == ["seed"]
        same &= all(flat.get(key) == their_flat.get(key) for key in SAME_CONF)
        same &= all(of.facts.get(key) == facts.get(key) for key in SAME_FACTS)
        same &= _start(of.facts) == _start(facts)
        if same:
            found.setdefault(conf["seed"], other)
    return found


def scores_of_seeds(of: Experiment, test_hash: str) -> dict[int, pandas.DataFrame]:
    """Scores of an experiment and its ``siblings``: seed -> what ``read_scores`` read.

    Another one's that are damaged, or of a model that has changed since, are left out with a line.

    Raises:
        UserError: its own are damaged.
    """
    found = {}
    for seed, other in siblings(of, test_hash).items():
        place = other.scores(test_hash)
        try:
            check_model(other.model, place.with_suffix(".yml"))
            found[seed] = score_table.read_scores(place)
        except (UserError, OSError) as error:
            if other is of:
                raise
            print(f"seed {seed} is left out: {refusal(error) or error}", file=sys.stderr)
    return found


def _start(facts: dict) -> tuple:
    """What a training started from."""
    init = facts.get("init") or {}
    return init.get("sha256"), init.get("refit")

"""Trainings that take a moment: a little data, settings of narrow networks, stage 1 called here."""

import sys

import torch
import triplet_trees

from local import train

RATE = triplet_trees.RATE
SMALL = {
    "data.sample_rate": RATE, "data.segment": 0.25, "data.batch_size": 2, "data.num_workers": 0,
    "trainer.accelerator": "cpu", "trainer.max_epochs": 2, "log.every_n_steps": 1,
}  # fmt: skip
NARROW = SMALL | {
    "model.n_blocks": 1, "model.n_repeats": 1, "model.bn_chan": 4, "model.hid_chan": 4,
    "model.skip_chan": 4, "model.n_filters": 8,
}  # fmt: skip
"""Of a Conv-TasNet."""


def prepare(folder, monkeypatch, mixtures=6):
    """Make ``folder`` the current one, with a data set ``d``: half as many for validation."""
    monkeypatch.chdir(folder)
    torch.set_num_threads(1)  # sums in one order: a continued training is exactly the same
    tree = triplet_trees.make_tree(
        folder / "tree", {"train": mixtures, "valid": mixtures // 2}, rate=RATE
    )
    triplet_trees.prepare(tree, "d", ("train", "valid"), RATE)


def options(changes: dict) -> list[str]:
    """Settings as a command line has them."""
    return [f"--{key}={value}" for key, value in changes.items()]


def run(monkeypatch, *words, changes=SMALL):
    """Stage 1 on ``d`` in this process."""
    monkeypatch.setattr(sys, "argv", ["train.py", "--name", "d", *words, *options(changes)])
    train.main()

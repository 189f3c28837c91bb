"""Stage 0 called here, on copies of one faultless tree."""

import sys
from pathlib import Path

from triplet_trees import RATE, make_tree, table

from local import prepare

LENGTH = RATE // 2


def faultless(root: Path) -> Path:
    """A tree of 12 + 2 + 3 folders, to be copied before anything is done to it."""
    return make_tree(root, {"train": 12, "valid": 2, "test": 3})


def run(monkeypatch, *arguments):
    """Stage 0 with these options."""
    monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
    prepare.main()


def ids(split, name="tree"):
    return [row["id"] for row in table(f"data/{name}/{split}.csv")]

"""Layouts: which corpus lies in a folder, told by its name or by what is there."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from local.base.errors import UserError, nearest
from local.base.names import shown
from local.corpus import (
    dns,
    librimix,
    ms_snsd,
    musdb,
    sums,
    triplets,
    voicebank_demand,
    wham,
)
from local.corpus.folders import Corpus, folders
from local.corpus.sources import File, Kind
from local.corpus.splits import SPLITS
from local.corpus.sums import Look, Rejection

CORPORA = {
    corpus.name: corpus
    for corpus in (
        voicebank_demand.CORPUS, ms_snsd.CORPUS, librimix.CORPUS, wham.CORPUS, wham.CORPUS_R,
        dns.CORPUS, musdb.CORPUS,
    )
}  # fmt: skip
TRIPLETS = "triplets"
ALIKE = 0.75  # of two names; a similarity below says nothing
CHOICES = 8  # so many parts are listed in an error line


class Layout(NamedTuple):
    """What lies in a folder: a corpus and which part of it; triplets where there is no corpus."""

    corpus: Corpus | None = None
    part: str = ""

    @property
    def name(self) -> str:
        """As ``--corpus`` takes it."""
        if self.corpus is None:
            return TRIPLETS
        return f"{self.corpus.name}:{self.part}" if self.part else self.corpus.name

    def scan(self, root: Path) -> dict[str, tuple[list, list[Rejection]]]:
        """Split -> what ``look`` is to look at, and the faults of what else is there.

        Raises:
            OSError: a folder cannot be listed.
            UserError: a file that says what there is (a log, metadata) cannot be read.
        """
        if self.corpus:
            return self.corpus.read(root, self.part)
        splits = (name for name in SPLITS if name != "valid" or os.path.lexists(root / name))
        return {split: triplets.scan(root, split) for split in splits}

    def alone(self, root: Path) -> dict[Kind, list[File]]:
        """The voices and noises of a corpus that are not mixed yet, with their splits; or nothing.

        Raises:
            OSError: a folder cannot be listed.
            UserError: one is empty.
        """
        return self.corpus.alone(root, self.part) if self.corpus else {}

    @property
    def look(self) -> Callable[..., Look]:
        """Looks at (root, split, one of what ``scan`` found, channel)."""
        return sums.look if self.corpus else triplets.look


def find(root: Path, name: str | None = None) -> Layout:
    """The layout of a folder.

    Args:
        name: NAME or NAME:PART; None: as what lies there tells.

    Raises:
        UserError: no such name, another layout than that, none that is known, or several.
    """
    if name is None:
        return _recognise(root)
    base, _, part = name.partition(":")
    if base == TRIPLETS:
        _check_triplets(root)
        return Layout()
    if base not in CORPORA:
        known = ", ".join((TRIPLETS, *CORPORA))
        raise UserError(f"--corpus {name}: expected {known}{nearest(base, CORPORA)}")
    corpus = CORPORA[base]
    parts = corpus.parts(root)
    if not parts:
        raise UserError(
            f"--corpus {name}: {root}: expected {corpus.expected}; found {_found(root)}"
        )
    if part and part not in parts:
        raise UserError(f"--corpus {name}: {root} holds {_choices(corpus, parts)}")
    return _only(root, [Layout(corpus, each) for each in ([part] if part else parts)])


def _recognise(root: Path) -> Layout:
    layouts = [Layout(corpus, part) for corpus in CORPORA.values() for part in corpus.parts(root)]
    if layouts:
        return _only(root, layouts)
    _check_triplets(root)
    return Layout()


def _only(root: Path, layouts: list[Layout]) -> Layout:
    if len(layouts) > 1:
        names = [layout.name for layout in layouts]
        more = f" and {len(names) - CHOICES} more" if len(names) > CHOICES else ""
        raise UserError(f"{root}: holds {', '.join(names[:CHOICES])}{more}; say which: --corpus"
                        f" {names[0]}")  # fmt: skip
    return layouts[0]


def _check_triplets(root: Path) -> None:
    """Whether there are the folders of triplets; else an error that names the nearest corpus."""
    there = folders(root)
    for split in ("train", "test"):
        if split not in there:
            raise UserError(
                f"{root}: expected train/ and test/ (and perhaps valid/), found {_found(root)}"
                f"{nearest(split, there)}{_nearest_corpus(there)}"
            )


def _nearest_corpus(there: list[str]) -> str:
    """The corpus whose folders have names like those that are there, in words for an error line."""
    marks = {mark: corpus for corpus in reversed(CORPORA.values()) for mark in corpus.marks}
    alike = {
        difflib.SequenceMatcher(None, name, mark).ratio(): corpus
        for name in there
        for mark, corpus in marks.items()
    }
    best = max(alike, default=0)
    if best < ALIKE:
        return ""
    corpus = alike[best]
    return f"; nearest corpus: {corpus.title} (--corpus {corpus.name}), which is {corpus.expected}"


def _choices(corpus: Corpus, parts: list[str]) -> str:
    return ", ".join(f"{corpus.name}:{part}" if part else corpus.name for part in parts)


def _found(root: Path) -> str:
    names = [shown(name) for name in folders(root)]
    more = f" and {len(names) - CHOICES} more" if len(names) > CHOICES else ""
    return ", ".join(names[:CHOICES]) + more if names else "no folders"

"""Folders of voices, of noises and of room responses that are not mixed: files, owners, splits.

::

    VOICES/<speaker>/.../*.wav      or VOICES/speakers.csv: file, speaker
    NOISES/.../*.flac               and perhaps NOISES/groups.csv: file, group

The *owner* of a file is the speaker, or the recording that it is a part of. An owner is in one
split only. Whose is in which split is drawn (``corpus.splits``), unless it is given: by a column
``split`` in the CSV file, or by folders ``train/``, ``test/`` and perhaps ``valid/`` at the top.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from local.base.errors import UserError, nearest
from local.base.file_kind import is_there
from local.base.names import TEXT, shown
from local.corpus import splits
from local.corpus.splits import SPLITS

ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf",
           ".w64", ".rf64", ".sph")  # fmt: skip
"""Of the files that are taken; others are ignored."""


class Kind(NamedTuple):
    """What a folder holds, and what its CSV file says of it.

    Attributes:
        option: of the command line, without dashes.
        meaning: of the option.
        owner: the column that names whose a file is.
        table: the CSV file.
        alone: whether a file without an owner is one of its own.
    """

    option: str
    meaning: str
    owner: str
    table: str
    alone: bool


VOICES = Kind("voices", "voices alone, a folder per speaker", "speaker", "speakers.csv", False)
NOISES = Kind("noises", "noises alone, to be mixed with them", "group", "groups.csv", True)
ROOMS = Kind("rooms", "room responses, for the voices", "group", "groups.csv", True)
KINDS = (VOICES, NOISES, ROOMS)


class File(NamedTuple):
    """A sound file: its path relative to the folder, its owner ("" for none), its split or ""."""

    path: str
    owner: str
    split: str


def find(root: Path, kind: Kind) -> list[File]:
    """The sound files in a folder, and whose they are, sorted by path.

    Raises:
        UserError: no folder, or none in it; a fault of its CSV file; an owner in two splits.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing there"
        raise UserError(f"--{kind.option} {root}: expected a folder, found {found}")
    paths = sorted(_walk(root, kind))
    if not paths:
        raise UserError(
            f"--{kind.option} {root}: expected sound files ({', '.join(ENDINGS[:5])}, ...), found"
            " none in it or below it"
        )
    tops = {path.partition("/")[0] for path in paths if "/" in path}
    given = {"train", "test"} <= tops
    table = _read_table(root / kind.table, kind, set(paths))
    files = []
    for path in paths:
        first, _, rest = path.partition("/")
        split, inner = (first, rest) if given and first in SPLITS else ("", path)
        folder = inner.rpartition("/")[0].partition("/")[0]
        owner = path if kind.alone else folder
        owner, told = table.get(path, (owner if kind.alone or not table else "", ""))
        files.append(File(path, owner, told or split))
    if not any(file.owner for file in files):
        raise UserError(
            f"--{kind.option} {root}: expected a folder for each {kind.owner}, or {kind.table} with"
            f" the columns file and {kind.owner}, found files without either"
        )
    _check_splits(root, kind, files)
    return files


def _walk(root: Path, kind: Kind) -> Iterator[str]:
    """Paths of sound files, relative to the root; links to folders are followed, once each."""

    def refuse(error: OSError) -> None:
        raise UserError(f"--{kind.option} {error.filename}: cannot be listed ({error.strerror})")

    seen = set()
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = os.path.realpath(folder)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        for name in names:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), root)


def _read_table(path: Path, kind: Kind, paths: set[str]) -> dict[str, tuple[str, str]]:
    """Owner and split ("" where there is no such column) of the files that a CSV file names."""
    if not is_there(path):
        return {}
    found = {}
    try:
        with open(path, newline="", encoding="utf-8-sig", errors=TEXT["errors"]) as file:
            table = csv.DictReader(file)
            columns = table.fieldnames or ()
            if not {"file", kind.owner} <= set(columns):
                raise UserError(
                    f"{path}: expected the columns file and {kind.owner} (and perhaps split),"
                    f" found {', '.join(map(str, columns)) or 'none'}"
                )
            for line in table:
                where = f"{path}, line {table.line_num}"
                name, owner = os.path.normpath(line["file"] or "?"), line[kind.owner]
                split = line["split"] if "split" in columns else ""
                if name not in paths:
                    raise UserError(
                        f"{where}: names {shown(line['file'])}, which is no sound file in"
                        f" {path.parent}{nearest(name, sorted(paths))}"
                    )
                if not owner:
                    raise UserError(
                        f"{where}: expected a {kind.owner} of {shown(name)}, found none"
                    )
                if "split" in columns and split not in SPLITS:
                    raise UserError(f"{where}: expected {' or '.join(SPLITS)} as split of"
                                    f" {shown(name)}, found {split!r}")  # fmt: skip
                if found.setdefault(name, (owner, split)) != (owner, split):
                    raise UserError(f"{where}: {shown(name)} stands there twice, first as"
                                    f" {' '.join(filter(None, found[name]))}")  # fmt: skip
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return found


def _check_splits(root: Path, kind: Kind, files: list[File]) -> None:
    """Whether given splits tear no owner apart, and leave nobody out."""
    first = {}
    for file in files:
        if not file.owner:
            continue
        before = first.setdefault(file.owner, file)
        if before.split != file.split:
            raise UserError(
                f"--{kind.option} {root}: {kind.owner} {shown(file.owner)} is in two splits:"
                f" {shown(before.path)} in {before.split or 'none'}, {shown(file.path)} in"
                f" {file.split or 'none'}; one and the same must be in one"
            )
    without = [file.path for file in files if file.owner and not file.split]
    if without and len(without) < sum(bool(file.owner) for file in files):
        raise UserError(
            f"--{kind.option} {root}: splits are given, and {len(without)} files are in none of"
            f" {', '.join(SPLITS)}; the first is {shown(without[0])}"
        )


def split(files: list[File], root: Path, kind: Kind, seed: int) -> list[File]:
    """The files with a split each: as given, or drawn by their owners' names.

    Raises:
        UserError: too few owners; no train or test where splits are given.
    """
    given = {file.owner: file.split for file in files}
    what = f"--{kind.option} {root}, {kind.owner}s"
    if not any(given.values()):
        chosen = splits.share_out(given, seed, what)
    else:
        chosen = dict(given)
        for needed in ("train", "test"):
            if needed not in given.values():
                raise UserError(
                    f"{what}: expected some in train and in test, found none in {needed}"
                )
        if "valid" not in given.values():
            train = [owner for owner, split in given.items() if split == "train"]
            held = splits.hold_out(train, seed)
            if not held:
                raise UserError(f"{what}: train has only {shown(train[0])}, and nothing is valid")
            chosen |= dict.fromkeys(held, "valid")
    return [file._replace(split=chosen[file.owner]) for file in files]

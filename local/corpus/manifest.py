"""Manifests: which files make up the examples of a split, and at which level.

``data/<name>/`` holds ``train.csv``, ``valid.csv`` and ``test.csv`` with one ``Row`` per mixture,
and ``root.yml``, which names the tree of the sound files, and further folders of them. They may
move: edit ``root`` or ``folders`` there. This module alone reads manifests and applies their gains.
"""

import csv
import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local import SOURCES
from local.base import audio
from local.base.disk import expect, read_yaml
from local.base.errors import UserError
from local.base.names import TEXT
from local.corpus.reverberation import Room

ROOT_FILE = "root.yml"
SUM = "//"  # stands between files in a cell; no path of one file holds it


class Row(NamedTuple):
    """One mixture, or in train a voice or a noise alone; the columns of a manifest.

    ``mix``, ``voice`` and ``noise`` are paths relative to the root, or ``voices:a/b.wav`` in the
    folder that root.yml calls ``voices``; of a source that is the sum
    of several files, all of them (see ``cell``). The mixture is
    ``voice_gain * voice + noise_gain * noise``, its voice ``measured_snr_db`` above its noise.
    What has no file is computed when it is read: an empty ``mix`` is that sum, and an empty
    ``noise`` is the mixture minus the voice.
    Examples of one ``group`` are not independent: they share, say, a recording of noise.
    """

    id: str
    snr_db: float
    mix: str
    voice: str
    noise: str
    sample_rate: int
    num_samples: int
    voice_gain: float
    noise_gain: float
    measured_snr_db: float
    group: str

    def holds(self, source: str) -> bool:
        """Whether it has this one of ``SOURCES``; a row that is no mixture has only one."""
        return bool(self.mix or getattr(self, source))


def alone(source: str, path: str, rate: int, frames: int, group: str) -> Row:
    """The row of a voice or a noise that is not mixed yet: only one of its paths is not empty.

    Args:
        source: one of ``SOURCES``.
        path: of its file, relative to the root; also its id.
        rate, frames: Hz, samples.
        group: whose voice it is, or which recording.
    """
    files = {"voice": "", "noise": ""} | {source: path}
    return Row(path, 0.0, "", *files.values(), rate, frames, 1.0, 1.0, 0.0, group)


def cell(paths: Iterable[str]) -> str:
    """What a manifest says of the files whose sum a source is: their paths, with // between."""
    return SUM.join(paths)


def files(cell: str) -> list[str]:
    """The paths in a cell of ``mix``, ``voice`` or ``noise``; none where it is empty."""
    return cell.split(SUM) if cell else []


class Manifest:
    """A split: rows, and the sound files they name.

    Attributes:
        path: the CSV file.
        rows: pandas DataFrame with the columns of ``Row``.
        root: the tree that the rows' paths are relative to.
        channel: which channel of the files is used, from 0; None where they have one.
        folders: name -> folder, for paths that begin with the name and a colon.
        rooms: the rooms that training may put voices into.
    """

    def __init__(
        self,
        path: Path,
        rows,
        root: Path,
        channel: int | None = None,
        folders: dict[str, str] | None = None,
        rooms: Iterable[Room] = (),
    ):
        self.path, self.rows, self.root, self.channel = path, rows, root, channel
        self.folders, self.rooms = folders or {}, list(rooms)
        self._rows = [Row(*row) for row in rows.itertuples(index=False, name=None)]

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, i: int) -> Row:
        """The row of example ``i``."""
        return self._rows[i]

    def mix(self, i: int, start: int = 0, frames: int = -1) -> np.ndarray:
        """The mixture of example ``i``, float32 (time,), at the file's rate.

        ``start`` and ``frames`` are in samples; -1, or more than there are: up to the end.
        """
        row = self._rows[i]
        if row.mix:
            return self._read(row, row.mix, start, frames)
        return self.sources(i, start, frames).sum(0)

    def source(self, i: int, name: str, start: int = 0, frames: int = -1) -> np.ndarray:
        """One of ``SOURCES`` of example ``i`` as it is in its mixture, float32 (time,).

        The one place where a source is made of what there is: several files, or the mixture.
        """
        row = self._rows[i]
        if name == "noise" and not row.noise:
            return self.mix(i, start, frames) - self.source(i, "voice", start, frames)
        gain = np.float32(getattr(row, f"{name}_gain"))
        parts = (self._read(row, path, start, frames) for path in files(getattr(row, name)))
        return functools.reduce(np.add, parts) * gain

    def sources(self, i: int, start: int = 0, frames: int = -1) -> np.ndarray:
        """Voice and noise of example ``i`` as they are in its mixture, float32 (2, time)."""
        return np.stack([self.source(i, name, start, frames) for name in SOURCES])

    def response(self, room: Room) -> np.ndarray:
        """The response of one of ``rooms``, float32 (time,), at its own rate."""
        return self._read(room, room.file, 0, -1)

    @functools.cached_property
    def hash(self) -> str:
        """12 hex digits of the rows and the sizes of their files, wherever the tree lies."""
        digest = hashlib.sha256()
        if self.channel is not None:
            digest.update(f"channel {self.channel}\n".encode())
        for row in self._rows:
            paths = (path for cell in (row.mix, row.voice, row.noise) for path in files(cell))
            sizes = [self._size(path) for path in paths]
            digest.update(f"{tuple(row)} {sizes}\n".encode())
        for room in self.rooms:
            digest.update(f"{tuple(room)} {self._size(room.file)}\n".encode())
        return digest.hexdigest()[:12]

    def _size(self, relative: str) -> int:
        path = self._place(relative)
        try:
            return os.stat(path).st_size
        except OSError:
            raise UserError(
                f"{path}: not there, though {self.path} names it; where files were moved, edit"
                f" root or folders in {self.path.with_name(ROOT_FILE)}, else run stage 0 again"
            ) from None

    def _place(self, relative: str) -> str:
        """The path of a file that a row names."""
        name, colon, rest = relative.partition(":")
        if colon and name in self.folders:
            return os.path.join(self.folders[name], rest)
        return os.path.join(self.root, relative)

    def _read(self, row: Row | Room, relative: str, start: int, frames: int) -> np.ndarray:
        path = self._place(relative)
        samples, rate = audio.read(path, start, frames, self.channel)
        rest = max(row.num_samples - start, 0)
        expected = rest if frames < 0 else min(frames, rest)
        if (len(samples), rate) != (expected, row.sample_rate):
            raise UserError(
                f"{path}: expected {expected} samples at {row.sample_rate} Hz from sample {start},"
                f" found {len(samples)} at {rate} Hz; it has changed, run stage 0 again"
            )
        return samples


def read(path: Path | str) -> Manifest:
    """Read a manifest and, beside it, where its tree lies.

    Raises:
        UserError: missing (the line names stage 0), or not a manifest.
    """
    import pandas

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not there; stage 0 makes it (--stage 0 --data DIR)")
    try:
        rows = pandas.read_csv(
            path, dtype=Row.__annotations__, na_filter=False,
            encoding=TEXT["encoding"], encoding_errors=TEXT["errors"],
        )  # fmt: skip
    except ValueError as error:
        fault = str(error).strip().partition("\n")[0]
        raise UserError(f"{path}: not a manifest ({fault}); run stage 0 again") from None
    if tuple(rows.columns) != Row._fields:
        raise UserError(
            f"{path}: expected the columns {', '.join(Row._fields)}, found"
            f" {', '.join(rows.columns)}; run stage 0 again"
        )
    place = path.with_name(ROOT_FILE)
    tree = read_root(place)
    root, folders = path.parent / tree["root"], tree.get("folders")
    return Manifest(path, rows, root, tree.get("channel"), folders, read_rooms(path))


def read_rooms(path: Path) -> list[Room]:
    """The rooms of a split, which stand beside its manifest (``rooms_of``); none without that file.

    Raises:
        UserError: not a list of rooms.
    """
    place = rooms_of(path)
    if not place.exists():
        return []
    try:
        with open(place, newline="", **TEXT) as file:
            header, *rows = csv.reader(file)
        if tuple(header) != Room._fields:
            raise ValueError(f"expected the columns {', '.join(Room._fields)}")
        return [Room(file, int(rate), int(size), group) for file, rate, size, group in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{place}: not a list of rooms ({error}); run stage 0 again") from None


def rooms_of(path: Path) -> Path:
    """Where the rooms of a manifest are listed: ``train_rooms.csv`` beside ``train.csv``."""
    return path.with_name(f"{path.stem}_rooms.csv")


def read_root(place: Path) -> dict:
    """What root.yml says: ``root``, the tree's folder (seen from its own), ``channel``, ``corpus``
    of a layout, and ``folders`` beside the tree.

    Raises:
        UserError: missing or damaged.
    """
    try:
        kinds = {"corpus": str | None, "folders": dict | None}
        tree = read_yaml(place, {"root": str, "channel": int | None} | kinds)
        folders = tree.get("folders") or {}
        expect(folders, dict.fromkeys(folders, str), place)
        return tree
    except UserError as error:
        raise UserError(f"{error}; delete it and run stage 0 again") from None


def write(path: Path, rows: Iterable[Row | Room], columns: Iterable[str] = Row._fields) -> None:
    """Write rows as a manifest, or rooms as a list of them.

    ``path`` is a temporary one: see ``local.base.disk.replace``.
    """
    with open(path, "w", newline="", **TEXT) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)

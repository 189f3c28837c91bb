"""scores.csv of ``winnow score``: DNSMOS of recordings and of what systems made of them.

A row per recording and system, added as it is made, so that interrupted work continues: the file
is whole after each row, but for the last one of a killed run. What is read again counts only for
the same samples, weights and version of the metrics.
"""

import contextlib
import csv
import hashlib
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas

from local.base import disk
from local.base.names import TEXT
from local.scoring import dnsmos, metrics

MIXTURE = "mixture"  # the recording as it is
FILE = "scores.csv"
COLUMNS = ("recording", "system", "seconds", "sample_rate", *dnsmos.NAMES, "failed",
           "recording_sha256", "system_sha256", "version")  # fmt: skip
HEAD = ",".join(COLUMNS) + "\n"
NUMBERS = ("seconds", "sample_rate", *dnsmos.NAMES)


class Subject(NamedTuple):
    """What is rated: a recording, and the system that it went through; hashes of both."""

    recording: str
    system: str
    recording_sha256: str
    system_sha256: str = ""


class Ratings:
    """The rows of a scores.csv; a context manager that leaves it sorted.

    Args:
        folder: of the file, made where it is missing.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self._rows = self._read()
        self._write()
        self._file = open(self.path, "a", newline="", **TEXT)  # noqa: SIM115

    def __enter__(self) -> "Ratings":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()
        self._rows = self._read() | self._rows  # another run may have added some in the meantime
        self._write()

    def has(self, subject: Subject) -> bool:
        """Whether this was rated before."""
        row = self._rows.get(subject[:2])
        return row is not None and _identity(row) == _identity(_plain(subject))

    def add(self, subject: Subject, rate: int, seconds: float, found: dict) -> None:
        """Keep ratings, by their names; a sentence is why there is none.

        Args:
            subject: what was rated.
            rate: Hz, of the recording.
            seconds: its length.
            found: name -> rating, or why there is none.
        """
        why = next((value for value in found.values() if isinstance(value, str)), "")
        values = {name: "" if why else f"{value:.6g}" for name, value in found.items()}
        row = _plain(subject) | values | {
            "seconds": f"{seconds:.10g}", "sample_rate": str(rate), "failed": why
        }  # fmt: skip
        self._rows[subject[:2]] = row
        self._file.write(_lines([row]))
        self._file.flush()

    def table(self, recordings: Iterable[str], systems: Iterable[str]) -> pandas.DataFrame:
        """The rows of these, in their order, as far as there are any; numbers as floats."""
        systems = list(systems)
        keys = [(recording, system) for recording in recordings for system in systems]
        rows = [self._rows[key] for key in keys if key in self._rows]
        table = pandas.DataFrame(rows, columns=list(COLUMNS))
        return table.assign(**{name: pandas.to_numeric(table[name]) for name in NUMBERS})

    def _read(self) -> dict[tuple, dict[str, str]]:
        if not self.path.is_file():
            return {}
        rows = {}
        with open(self.path, newline="", **TEXT) as file, contextlib.suppress(csv.Error):
            # names may hold line ends; the last line may be cut
            for cells in csv.reader(io.StringIO(file.read(), newline="")):
                row = dict(zip(COLUMNS, cells, strict=False))
                if len(cells) == len(COLUMNS) and _numeric(row):
                    rows[row["recording"], row["system"]] = row
        return rows

    def _write(self) -> None:
        rows = sorted(self._rows.values(), key=lambda row: row["recording"])
        with disk.replace(self.path) as temporary:
            temporary.write_text(HEAD + _lines(rows), newline="", **TEXT)


def is_ours(path: Path) -> bool:
    """Whether a file, if it is there, is one of ours: it begins with the names of our columns."""
    if not path.is_file():
        return False
    with open(path, newline="", **TEXT) as file:
        return file.readline() == HEAD


def sha256(*paths: Path | str) -> str:
    """The hash of files, one after the other: 16 hexadecimal digits.

    Raises:
        OSError: one cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def _plain(subject: Subject) -> dict[str, str]:
    return subject._asdict() | {"version": str(metrics.VERSION)}


def _identity(row: dict) -> tuple:
    return tuple(row[name] for name in ("recording_sha256", "system_sha256", "version"))


def _numeric(row: dict) -> bool:
    """Whether numbers are numbers; they may be missing where a reason stands."""
    try:
        values = [float(row[name] or math.nan) for name in NUMBERS]
    except ValueError:  # such as the head of the table
        return False
    return bool(row["failed"]) or all(map(math.isfinite, values))


def _lines(rows: list[dict]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows)
    return text.getvalue()

"""Rows on disk as they arrive, so that interrupted work can continue."""

import csv
import io
import json
from pathlib import Path

from local import SOURCES
from local.base.disk import replace
from local.base.names import TEXT

TEXTS = ("id", "source")
FAILED = "failed"


class Journal:
    """A CSV file of rows that one piece of work appends, one example at a time.

    Its first line names the work; a journal of other work is started again. A kill can leave an
    incomplete last line or example: it is dropped and done again.

    Args:
        path: of the file; its folder is made where it is missing.
        work: plain types; rows of other work are dropped.
        columns: names of the floats in a row, between id, source and ``failed``.

    Attributes:
        rows: {id: [a row per source, in the order of SOURCES]}.
    """

    def __init__(self, path: Path, work: dict, columns: list[str]):
        self.path = path
        self.columns = [*TEXTS, *columns, FAILED]
        self.head = f"# {json.dumps(work, sort_keys=True)}\n{self._lines([self.columns])}"
        self.rows = self._read()
        with replace(path) as temporary:
            rows = [self._plain(row) for rows in self.rows.values() for row in rows]
            temporary.write_text(self.head + self._lines(rows), **TEXT)
        self._file = open(path, "a", newline="", **TEXT)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def append(self, rows: list[dict]) -> None:
        """Keep the rows of one example: one write, whole lines."""
        self._file.write(self._lines([self._plain(row) for row in rows]))
        self._file.flush()
        self.rows[rows[0]["id"]] = rows

    def _plain(self, row: dict) -> list[str]:
        floats = [repr(float(row[name])) for name in self.columns[len(TEXTS) : -1]]
        return [*(row[name] for name in TEXTS), *floats, json.dumps(row[FAILED])]

    @staticmethod
    def _lines(rows: list[list[str]]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def _read(self) -> dict[str, list[dict]]:
        """The complete examples in the file; none if it belongs to other work."""
        if not self.path.is_file():
            return {}
        text = self.path.read_text(**TEXT)
        if not text.startswith(self.head):
            return {}
        whole = text[len(self.head) : text.rfind("\n") + 1]
        rows: dict[str, dict[str, dict]] = {}
        for line in whole.split("\n"):
            try:
                (cells,) = csv.reader([line])
                row = dict(zip(self.columns, cells, strict=True))
                floats = {name: float(row[name]) for name in self.columns[len(TEXTS) : -1]}
                row |= floats | {FAILED: dict(json.loads(row[FAILED]))}
            except (ValueError, TypeError, RecursionError, csv.Error):
                continue  # a disk that lost power may leave anything
            rows.setdefault(row["id"], {})[row["source"]] = row
        return {
            name: [of[source] for source in SOURCES]
            for name, of in rows.items()
            if set(of) == set(SOURCES)
        }

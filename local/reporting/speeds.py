"""What the recipes cost: rows of recipes/speed.csv, and the tables of them.

The file is what runs of ``tests/benchmarks/realtime_factor.py`` wrote, one after the other. In a
run all take turns: its numbers may be compared with each other, and with those of no other run.
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from local import ROOT
from local.base import disk
from local.base.errors import UserError
from local.reporting import tables

FILE = Path("recipes") / "speed.csv"
COLUMNS = (
    "recipe", "preset", "parameters", "seconds", "separation", "training", "commit", "command",
)  # fmt: skip
"""``separation`` and ``training`` are seconds of CPU time of one thread per second of audio,
``seconds`` the length of the audio that was separated; no preset: the settings of conf.yml."""


def read(root: Path = ROOT) -> list[dict[str, str]]:
    """Rows of recipes/speed.csv, all text; none where there is no file.

    Raises:
        UserError: other columns than COLUMNS.
    """
    path = root / FILE
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}; tests/benchmarks/"
                            "realtime_factor.py writes it")  # fmt: skip
        return list(reader)


def add(rows: list[dict], root: Path = ROOT) -> None:
    """Append the rows of a run to those of the others, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*read(root), *rows])
    with disk.replace(root / FILE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def of_experiment(origin: dict, rows: list[dict]) -> float | None:
    """Seconds of CPU time per second of audio, of the model of an experiment.

    Args:
        origin: a row of results.csv.
        rows: of speed.csv.

    Returns:
        what the last run of that model says; None where it was not timed: another preset or size,
        or changed under ``model``.
    """
    if any(change.startswith("model.") for change in origin["changes"].split()):
        return None
    key = tuple(origin[name] for name in ("recipe", "preset", "parameters"))
    found = [row for row in rows if (row["recipe"], row["preset"], row["parameters"]) == key]
    return float(found[-1]["separation"]) if found else None


def markdown(rows: list[dict[str, str]], link: Callable[[str], str]) -> list[str]:
    """Lines of Markdown: a table of each run, the fastest first.

    Args:
        rows: of speed.csv.
        link: recipe -> its folder, as a link.
    """
    lines = []
    for run in dict.fromkeys(_run(row) for row in rows):
        of_run = sorted(
            (row for row in rows if _run(row) == run), key=lambda row: float(row["separation"])
        )
        kinds = [kind for kind in ("separation", "training") if any(row[kind] for row in of_run)]
        body = []
        for row in of_run:
            name = row["recipe"] + (f"-{row['preset']}" if row["preset"] else "")
            cells = [(tables.Number(float(row[k]), 4) if row[k] else "",) for k in kinds]
            body.append(((f"[{name}]({link(row['recipe'])})",), *cells))
        commit, command, seconds = run
        caption = f"Seconds of CPU time per second of audio, one thread, {seconds} s at a time"
        lines += ["", *tables.markdown(tables.Table(caption, ("", *kinds), body)).splitlines(), ""]
        lines.append(f"Untrained weights, all in turns: `{command}`, commit {commit}.")
    return lines[1:]


def _run(row: dict[str, str]) -> tuple[str, ...]:
    return row["commit"], row["command"], row["seconds"]

"""What the recipes cost: rows of recipes/speed.csv, and the table of them.

The file is that of one run of ``tests/benchmarks/realtime_factor.py``, in which all took turns: its
numbers may be compared with each other, and with those of no other run or machine.
"""

import csv
import io
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
            raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}; make it again with"
                            " tests/benchmarks/realtime_factor.py")  # fmt: skip
        return list(reader)


def write(rows: list[dict], root: Path = ROOT) -> None:
    """Write rows as recipes/speed.csv, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with disk.replace(root / FILE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def of_experiment(origin: dict, rows: list[dict]) -> float | None:
    """Seconds of CPU time per second of audio, of the model of an experiment.

    Args:
        origin: a row of results.csv.
        rows: of speed.csv.

    Returns:
        None where that model was not timed: another preset or size, or changed under ``model``.
    """
    if any(change.startswith("model.") for change in origin["changes"].split()):
        return None
    key = tuple(origin[name] for name in ("recipe", "preset", "parameters"))
    found = [row for row in rows if (row["recipe"], row["preset"], row["parameters"]) == key]
    return float(found[0]["separation"]) if found else None


def markdown(rows: list[dict]) -> list[str]:
    """Lines of Markdown: every recipe with the settings of its conf.yml, the fastest first."""
    whole = sorted(
        (row for row in rows if not row["preset"]), key=lambda row: float(row["separation"])
    )
    small = {row["recipe"]: row for row in rows if row["preset"] == "small"}
    lines = []
    for row in whole:
        costs = [row["separation"], row["training"]]
        costs.append(small.get(row["recipe"], {}).get("separation"))
        cells = (tables.Number(float(cost), 4) if cost else "" for cost in costs)
        lines.append(((f"[{row['recipe']}]({row['recipe']}/)",), *((cell,) for cell in cells)))
    [run] = {(row["commit"], row["command"], row["seconds"]) for row in rows}
    commit, command, seconds = run
    caption = f"Seconds of CPU time per second of audio, one thread, {seconds} s at a time"
    header = ("", "separation", "a step of training", "separation, preset small")
    table = tables.Table(caption, header, tuple(lines))
    return [
        *tables.markdown(table).splitlines(),
        "",
        f"Untrained weights, all in turns in one run: `{command}`, commit {commit}"
        f" ([CSV]({FILE.name})). On an idle machine CPU time is the real-time factor.",
    ]

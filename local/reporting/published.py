"""Results committed with the recipes: rows of results.csv, and what tables show of them."""

import csv
import io
import os
import shlex
from pathlib import Path
from typing import NamedTuple

from local import ROOT
from local.base import config, disk, experiment
from local.base.errors import UserError, nearest
from local.reporting.statistics import ALL
from local.scoring.score_table import MIXTURE

FILE = "results.csv"


STATISTICS = ("n", "n_groups", "n_failed", "mean", "std", "median", "mad", "ci_low", "ci_high")


SCORE = ("source", "metric", "snr_db")


KEY = ("table", "data", "experiment")


ORIGIN = (
    "recipe", "preset", "bound", "test_hash", "engine", "seed", "changes", "command", "commit",
    "scored_commit", "training_seconds", "device", "threads", "audio_seconds_seen", "parameters",
    "macs_per_second",
)  # fmt: skip


COLUMNS = (*KEY, *SCORE, *STATISTICS, *ORIGIN)


LIST = "recipes"  # between markers in a README: the list of recipes


DEFAULT_TABLE = "quality"


CENTRES = ("mean", "median")  # what a table may show


class Shown(NamedTuple):
    """A column of the tables: which scores, under which head, and how they are shown.

    ``interval`` adds the 95 % interval to the mean, of a table over all SNR levels only to that
    over all; ``per_level`` puts a column for each level before it.
    """

    source: str
    metric: str
    head: str
    decimals: int
    interval: bool = False
    per_level: bool = False


SHOWN = (
    Shown("voice", "si_sdr", "voice SI-SDR", 1, interval=True, per_level=True),
    Shown("voice", "si_sdr_imp", "voice improvement", 1, interval=True),
    Shown("noise", "si_sdr", "noise SI-SDR", 1),
    Shown("noise", "si_sdr_imp", "noise improvement", 1, interval=True),
    Shown("voice", "sdr_v4", "voice SDR v4", 1),
    Shown("noise", "sdr_v4", "noise SDR v4", 1),
    Shown("voice", "stoi", "STOI", 3),
    Shown("voice", "pesq_wb", "WB-PESQ", 2),
    Shown("voice", "pesq_nb", "NB-PESQ", 2),
)


BY_LEVEL = (
    Shown("voice", "si_sdr", "voice SI-SDR", 1, interval=True),
    Shown("voice", "sdr_v4", "SDR", 1),
    Shown("voice", "sir_v4", "SIR", 1),
    Shown("voice", "sar_v4", "SAR", 1),
    Shown("voice", "stoi", "STOI", 3),
    Shown("voice", "pesq_wb", "WB-PESQ", 2),
    Shown("voice", "pesq_nb", "NB-PESQ", 2),
    Shown("noise", "si_sdr", "noise SI-SDR", 1, interval=True),
    Shown("noise", "sdr_v4", "SDR", 1),
    Shown("noise", "sir_v4", "SIR", 1),
    Shown("noise", "sar_v4", "SAR", 1),
)
"""Columns of the second table in a recipe's README, with a line for each SNR level."""


def known_tables() -> dict[str, dict]:
    """What recipes/tables.yml says: table -> its description.

    That is ``title``, ``note`` (how far it was trained) and ``statistic``, what is shown of the
    scores: ``mean``, where nothing is said, or ``median``, with the median absolute deviation.

    Raises:
        UserError: a table without the first two, another statistic, or the name of a recipe.
    """
    path = ROOT / "recipes" / "tables.yml"
    found = disk.read_yaml(path) or {}
    for name, about in found.items():
        if not isinstance(about, dict) or set(about) - {"statistic"} != {"title", "note"}:
            raise UserError(f"{path}: table {name!r}: expected title and note, found {about!r}")
        statistic = about.setdefault("statistic", "mean")
        if statistic not in CENTRES:
            raise UserError(f"{path}: table {name!r}: statistic {statistic!r}"
                            f"{nearest(str(statistic), CENTRES)}")  # fmt: skip
        if name == LIST or name in config.recipes():
            raise UserError(f"{path}: table {name!r} has the name of something else; rename it")
    return found


def collect(folder: Path, table: str = DEFAULT_TABLE) -> list[dict[str, str]]:
    """Rows for results.csv of an experiment: what the tables show, and where it comes from.

    Args:
        folder: ``exp/<data>/<experiment>``, after stage 3.
        table: of recipes/tables.yml.

    Raises:
        UserError: unknown table; no experiment; not scored; nothing that the tables show.
    """
    known = known_tables()
    if table not in known:
        raise UserError(f"unknown table {table!r}{nearest(table, known)} (there are:"
                        f" {', '.join(known)})")  # fmt: skip
    folder = Path(os.path.abspath(folder))
    if not (folder / "provenance.yml").is_file():
        raise UserError(f"{folder}: expected an experiment, exp/<data>/<experiment>; found no"
                        " provenance.yml in it")  # fmt: skip
    scores = _scores_folder(folder)
    origin = _origin(folder, scores)
    shown = {(column.source, column.metric) for column in (*SHOWN, *BY_LEVEL)}
    rows = []
    with open(scores / "by_snr.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["source"], row["metric"].removesuffix(MIXTURE)) in shown:
                numbers = {name: row[name] for name in (*SCORE, *STATISTICS)}
                rows.append({"table": table} | origin | numbers)
    if not rows:
        raise UserError(f"{scores / 'by_snr.csv'}: holds nothing that the tables show"
                        f" ({', '.join(sorted({metric for _, metric in shown}))})")  # fmt: skip
    return rows


def _scores_folder(folder: Path) -> Path:
    """Where an experiment's scores lie: of its one test set, or else of today's test manifest."""
    found = sorted(path.parent for path in folder.glob("scores/*/by_snr.csv"))
    if not found:
        raise UserError(f"{folder}: no scores/<test hash>/by_snr.csv; stage 3 makes it")
    if len(found) > 1:
        from local.corpus import manifest

        path = experiment.data_dir(folder.parent.name) / "test.csv"
        today = manifest.read(path).hash
        found = [place for place in found if place.name == today]
        if not found:
            raise UserError(f"{folder}: scored on several test sets, and none is {path} ({today});"
                            " run stages 2 and 3 again")  # fmt: skip
    return found[0]


def _origin(folder: Path, scores: Path) -> dict[str, str]:
    """Where an experiment's numbers come from: the columns ORIGIN, data and experiment."""
    training = disk.read_yaml(folder / "provenance.yml", experiment.FACTS | {"command": list})
    scoring = disk.read_yaml(scores / "scores.yml", {"provenance": dict | None})
    _, changes = config.split_dotted(training["command"])
    facts = training | {
        "data": folder.parent.name,
        "experiment": folder.name,
        "bound": "oracle" if scoring.get("needs_sources") else None,
        "test_hash": scores.name,
        "engine": scoring.get("engine"),
        "changes": " ".join(f"{key}={value}" for key, value in changes.items()),
        "command": shlex.join(training["command"]),
        "scored_commit": (scoring.get("provenance") or {}).get("commit"),
    }
    named = {name: facts.get(name) for name in ("data", "experiment", *ORIGIN)}
    return {name: "" if value is None else str(value) for name, value in named.items()}


def replace_rows(old: list[dict], new: list[dict]) -> list[dict]:
    """Old and new rows, sorted, without the old ones of the experiments that are new."""
    keys = {tuple(row[name] for name in KEY) for row in new}
    kept = [row for row in old if tuple(row[name] for name in KEY) not in keys]
    return sorted(kept + new, key=_order)


def _order(row: dict) -> tuple:
    column = list(dict.fromkeys((c.source, c.metric) for c in (*SHOWN, *BY_LEVEL)))
    place = row["source"], row["metric"].removesuffix(MIXTURE)
    shown = column.index(place) if place in column else len(column)
    level = float("inf") if row["snr_db"] == ALL else level_order(row["snr_db"])
    return (*(row[name] for name in KEY), shown, row["metric"], level)


def level_order(label: str) -> float:
    """What an SNR level, or a bin (``-5 to 0``), is sorted by."""
    return float(label.partition(" to ")[0])


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a results.csv, all text; none where there is no file.

    Raises:
        UserError: other columns than COLUMNS.
    """
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}; add its"
                            " experiments again")  # fmt: skip
        return list(reader)


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as results.csv, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with disk.replace(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")

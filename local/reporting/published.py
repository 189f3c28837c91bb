"""Results committed with the recipes: rows of results.csv, and what tables show of them."""

import csv
import io
import os
import shlex
from pathlib import Path

from local import ROOT
from local.base import config, disk, experiment
from local.base.errors import UserError, nearest
from local.reporting.statistics import ALL
from local.scoring import seed_runs
from local.scoring.score_table import MIXTURE

FILE = "results.csv"
FIGURE = "recipes/cost.svg"


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
SHORT = "short"  # the table of README.md
SPEED = "speed"  # what is in recipes/speed.csv
RIVALS = "rivals"  # what is in the recipe's own rivals.csv
RESERVED = (LIST, SHORT, SPEED, RIVALS)


DEFAULT_TABLE = "quality"


CENTRES = ("mean", "median")  # what a table may show


SHOWN = ("scores", "ratings", "bss_eval")  # which columns it may have


KEPT = (
    ("voice", "si_sdr"), ("voice", "si_sdr_imp"), ("noise", "si_sdr"), ("noise", "si_sdr_imp"),
    ("voice", "sdr_v4"), ("noise", "sdr_v4"), ("voice", "stoi"), ("voice", "pesq_wb"),
    ("voice", "pesq_nb"), ("voice", "sir_v4"), ("voice", "sar_v4"), ("noise", "sir_v4"),
    ("noise", "sar_v4"), ("voice", "dnsmos_ovrl"), ("voice", "dnsmos_sig"), ("voice", "dnsmos_bak"),
    ("voice", "dnsmos_p808"), ("voice", "csig"), ("voice", "cbak"), ("voice", "covl"),
    ("voice", "sdr_v3"), ("voice", "sir_v3"), ("voice", "sar_v3"),
)  # fmt: skip
"""Source and metric of what is copied from an experiment's scores, in the order of the rows."""


def known_tables() -> dict[str, dict]:
    """What recipes/tables.yml says: table -> its description.

    That is ``title``; ``note``, how far it was trained; ``under_trained``, whether networks are;
    ``statistic``, what is shown of the scores: ``mean``, where nothing is said, or ``median``, with
    the median absolute deviation; ``shown``, its columns: ``scores``, where nothing is said,
    ``ratings``, predicted opinions, or ``bss_eval``, versions 4 and 3 of it; and ``short``, the
    experiments that README.md shows.

    Raises:
        UserError: a table without the first two, an unknown key, another statistic or other
            columns, or a name that means something else.
    """
    path = ROOT / "recipes" / "tables.yml"
    found = disk.read_yaml(path) or {}
    defaults = {"under_trained": False, "statistic": "mean", "shown": SHOWN[0], SHORT: []}
    for name, about in found.items():
        if not isinstance(about, dict) or set(about) - set(defaults) != {"title", "note"}:
            raise UserError(f"{path}: table {name!r}: expected title and note, and at most"
                            f" {', '.join(defaults)} beside them; found {about!r}")  # fmt: skip
        about |= {key: value for key, value in defaults.items() if key not in about}
        for key, known in (("statistic", CENTRES), ("shown", SHOWN)):
            if about[key] not in known:
                raise UserError(f"{path}: table {name!r}: {key} {about[key]!r}"
                                f"{nearest(str(about[key]), known)}")  # fmt: skip
        if name in (*RESERVED, *config.recipes()):
            raise UserError(f"{path}: table {name!r} has the name of something else; rename it")
    return found


def read_all(known: dict[str, dict]) -> list[dict[str, str]]:
    """Rows of all recipes' results.csv.

    Raises:
        UserError: a row of a table that is not ``known``.
    """
    rows = []
    for recipe in config.recipes():
        rows += read_csv(ROOT / "recipes" / recipe / FILE)
    for row in rows:
        if row["table"] not in known:
            raise UserError(f"recipes/{row['recipe']}/{FILE}: a row of the table"
                            f" {row['table']!r}, which is not in recipes/tables.yml")  # fmt: skip
    return rows


def collect(folder: Path, table: str = DEFAULT_TABLE) -> list[dict[str, str]]:
    """Rows for results.csv of an experiment: what the tables show, and where it comes from.

    Args:
        folder: ``exp/<data>/<experiment>``, after stage 3.
        table: of recipes/tables.yml.

    Raises:
        UserError: unknown table; no experiment; not scored, or trained since; nothing that the
            tables show.
    """
    known = known_tables()
    if table not in known:
        raise UserError(f"unknown table {table!r}{nearest(table, known)} (there are:"
                        f" {', '.join(known)})")  # fmt: skip
    folder = Path(os.path.abspath(folder))
    of = experiment.Experiment(folder)
    if not of.facts_path.is_file():
        raise UserError(f"{folder}: expected an experiment, exp/<data>/<experiment>; found no"
                        f" {of.facts_path.name} in it")  # fmt: skip
    scores = scores_folder(folder)
    origin = _origin(of, scores)
    rows = []
    with open(scores / "by_snr.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["source"], row["metric"].removesuffix(MIXTURE)) in KEPT:
                numbers = {name: row[name] for name in (*SCORE, *STATISTICS)}
                rows.append({"table": table} | origin | numbers)
    if not rows:
        raise UserError(f"{scores / 'by_snr.csv'}: holds nothing that the tables show"
                        f" ({', '.join(sorted({metric for _, metric in KEPT}))})")  # fmt: skip
    return rows


def scores_folder(folder: Path, file: str = "by_snr.csv", stage: int = 3) -> Path:
    """Where an experiment's scores lie: of its one test set, or else of today's test manifest.

    Args:
        folder: ``exp/<data>/<experiment>``.
        file: that is looked for, and the stage that makes it.
        stage: 2 or 3.
    """
    found = sorted(path.parent for path in folder.glob(f"scores/*/{file}"))
    if not found:
        raise UserError(f"{folder}: no scores/<test hash>/{file}; stage {stage} makes it")
    if len(found) > 1:
        from local.corpus import manifest

        path = experiment.data_dir(folder.parent.name) / "test.csv"
        today = manifest.read(path).hash
        found = [place for place in found if place.name == today]
        if not found:
            raise UserError(f"{folder}: scored on several test sets, and none is {path} ({today});"
                            " run stages 2 and 3 again")  # fmt: skip
    return found[0]


def _origin(of: experiment.Experiment, scores: Path) -> dict[str, str]:
    """Where an experiment's numbers come from: the columns ORIGIN, data and experiment."""
    training = of.facts
    disk.expect(training, {"command": list}, of.facts_path)
    about = of.scores(scores.name).with_suffix(".yml")
    scoring = disk.read_yaml(about, {"provenance": dict | None})
    seed_runs.check_model(of.model, about)
    _, changes = config.split_dotted(training["command"])
    facts = training | {
        "data": of.data,
        "experiment": of.name,
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
    place = row["source"], row["metric"].removesuffix(MIXTURE)
    shown = KEPT.index(place) if place in KEPT else len(KEPT)
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
    """Write rows as results.csv, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with disk.replace(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")

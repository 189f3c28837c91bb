"""Results in the READMEs: every number there is a row of a committed results.csv.

    python -m local.results add EXPERIMENT_FOLDER [--table NAME]
    python -m local.results write

``add`` copies what the tables show of an experiment, with where it comes from, into
``recipes/<recipe>/results.csv``. ``write`` rewrites what stands between the lines
``<!-- results:NAME -->`` and ``<!-- /results -->`` of README.md, recipes/README.md and the README
of each recipe. NAME is a table of recipes/tables.yml, ``table/recipe`` for the lines of one recipe
in it, a recipe for all tables that it is in, or ``recipes`` for the list of recipes.
"""

import csv
import io
import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from local import ROOT, config, experiment, tables
from local.aggregate import ALL, MIXTURE
from local.errors import Parser, UserError, guard, nearest

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
LIST = "recipes"  # the name between markers that stands for the list of recipes
DEFAULT_TABLE = "quality"
START, END = re.compile(r"<!-- results:(\S+) -->"), "<!-- /results -->"
NOT_RUN = "Not run yet."


class Shown(NamedTuple):
    """A column of the tables: which scores, under which head, and how they are shown.

    ``interval`` adds the 95 % interval to the mean over all SNR levels; ``per_level`` puts a
    column for each level before it.
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
FOOT = (
    "Means over the test mixtures; in brackets the 95 % interval of the mean, a bootstrap over"
    " groups: it covers the sampling of the test set, not of training seeds. In dB; STOI from 0 to"
    " 1, PESQ from 1 to 4.6. SI-SDR after Le Roux et al. 2019, mean removed; SDR v4: BSS Eval v4,"
    " median over frames of 1 s; higher is better in every column."
)


def main() -> None:
    """Add an experiment's scores to the committed results, or write these into the READMEs."""
    parser = Parser(prog="python -m local.results", description=main.__doc__)
    actions = parser.add_subparsers(dest="action", required=True, parser_class=Parser)
    adding = actions.add_parser("add", help="copy an experiment's scores into its recipe's folder")
    adding.add_argument("experiment", type=Path, help="exp/<data>/<experiment>")
    adding.add_argument("--table", default=DEFAULT_TABLE, help="one of recipes/tables.yml")
    actions.add_parser("write", help="rewrite the tables of the READMEs")
    args = parser.parse_args()
    if args.action == "add":
        rows = collect(args.experiment, args.table)
        path = ROOT / "recipes" / rows[0]["recipe"] / FILE
        write_csv(path, replace_rows(read_csv(path), rows))
        print(f"{path.relative_to(ROOT)}: {len(rows)} rows of {rows[0]['experiment']}")
        return
    for path, text in readmes().items():
        if path.read_text(encoding="utf-8") != text:
            with experiment.replace(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
            print(f"{path.relative_to(ROOT)}: written")


def known_tables() -> dict[str, dict]:
    """What recipes/tables.yml says: table -> ``title`` and ``note`` (how far it was trained).

    Raises:
        UserError: a table without them, or with the name of a recipe.
    """
    path = ROOT / "recipes" / "tables.yml"
    found = experiment.read_yaml(path) or {}
    for name, about in found.items():
        if not isinstance(about, dict) or set(about) != {"title", "note"}:
            raise UserError(f"{path}: table {name!r}: expected title and note, found {about!r}")
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
    wanted = {}
    for column in SHOWN:
        for metric in (column.metric, column.metric + MIXTURE):
            wanted[column.source, metric] = column.per_level
    rows = []
    with open(scores / "by_snr.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            per_level = wanted.get((row["source"], row["metric"]))
            if per_level or (per_level is not None and row["snr_db"] == ALL):
                numbers = {name: row[name] for name in (*SCORE, *STATISTICS)}
                rows.append({"table": table} | origin | numbers)
    if not rows:
        raise UserError(f"{scores / 'by_snr.csv'}: holds nothing that the tables show"
                        f" ({', '.join(dict.fromkeys(c.metric for c in SHOWN))})")  # fmt: skip
    return rows


def _scores_folder(folder: Path) -> Path:
    """Where an experiment's scores lie: of its one test set, or else of today's test manifest."""
    found = sorted(path.parent for path in folder.glob("scores/*/by_snr.csv"))
    if not found:
        raise UserError(f"{folder}: no scores/<test hash>/by_snr.csv; stage 3 makes it")
    if len(found) > 1:
        from local import manifest

        path = experiment.data_dir(folder.parent.name) / "test.csv"
        today = manifest.read(path).hash
        found = [place for place in found if place.name == today]
        if not found:
            raise UserError(f"{folder}: scored on several test sets, and none is {path} ({today});"
                            " run stages 2 and 3 again")  # fmt: skip
    return found[0]


def _origin(folder: Path, scores: Path) -> dict[str, str]:
    """Where an experiment's numbers come from: the columns ORIGIN, data and experiment."""
    training = experiment.read_yaml(folder / "provenance.yml")
    scoring = experiment.read_yaml(scores / "scores.yml")
    _, changes = config.split_dotted(training["command"])
    facts = training | {
        "data": folder.parent.name,
        "experiment": folder.name,
        "bound": "oracle" if scoring.get("needs_sources") else None,
        "test_hash": scores.name,
        "engine": scoring.get("engine"),
        "changes": " ".join(f"{key}={value}" for key, value in changes.items()),
        "command": shlex.join(training["command"]),
        "scored_commit": scoring.get("provenance", {}).get("commit"),
    }
    named = {name: facts.get(name) for name in ("data", "experiment", *ORIGIN)}
    return {name: "" if value is None else str(value) for name, value in named.items()}


def replace_rows(old: list[dict], new: list[dict]) -> list[dict]:
    """Old and new rows, sorted, without the old ones of the experiments that are new."""
    keys = {tuple(row[name] for name in KEY) for row in new}
    kept = [row for row in old if tuple(row[name] for name in KEY) not in keys]
    return sorted(kept + new, key=_order)


def _order(row: dict) -> tuple:
    column = [(c.source, c.metric) for c in SHOWN]
    place = row["source"], row["metric"].removesuffix(MIXTURE)
    shown = column.index(place) if place in column else len(column)
    level = float("inf") if row["snr_db"] == ALL else _level(row["snr_db"])
    return (*(row[name] for name in KEY), shown, row["metric"], level)


def _level(label: str) -> float:
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
    with experiment.replace(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def readmes() -> dict[Path, str]:
    """What each README should be: its text, with today's tables between the markers.

    Raises:
        UserError: a marker without its end, or that names nothing.
    """
    paths = [ROOT / "README.md", ROOT / "recipes" / "README.md"]
    paths += [ROOT / "recipes" / recipe / "README.md" for recipe in config.recipes()]
    known, rows = known_tables(), []
    for recipe in config.recipes():
        rows += read_csv(ROOT / "recipes" / recipe / FILE)
    for row in rows:
        if row["table"] not in known:
            raise UserError(f"recipes/{row['recipe']}/{FILE}: a row of the table"
                            f" {row['table']!r}, which is not in recipes/tables.yml")  # fmt: skip
    return {path: _filled(path, known, rows) for path in paths if path.is_file()}


def _filled(path: Path, known: dict, rows: list[dict]) -> str:
    """The text of a README with what belongs between its markers."""
    lines, opened = [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        start = START.fullmatch(line.strip())
        where = f"{path.relative_to(ROOT)}, line {number}"
        end = line.strip() == END
        if start and opened:
            break
        if end and not opened:
            raise UserError(f"{where}: {END} without <!-- results:NAME --> above it")
        if start:
            opened = where
            lines += [line, "", *_block(start.group(1), path, where, known, rows), ""]
        elif end or not opened:
            opened = None
            lines.append(line)
    if opened:
        raise UserError(f"{opened}: a marker without its end; expected {END} below it")
    return "\n".join(lines) + "\n"


def _block(name: str, path: Path, where: str, known: dict, rows: list[dict]) -> list[str]:
    """Lines of Markdown that NAME of a marker stands for."""
    if name == LIST:
        return _recipe_list(path)
    table, _, recipe = name.partition("/")
    if table in config.recipes() and not recipe:
        table, recipe = None, table
    if table is not None and table not in known:
        names = [*known, *config.recipes(), LIST]
        raise UserError(f"{where}: unknown table {table!r}{nearest(table, names)}")
    if recipe and recipe not in config.recipes():
        raise UserError(f"{where}: unknown recipe {recipe!r}{nearest(recipe, config.recipes())}")
    lines = []
    for title, about in known.items():
        of_table = [row for row in rows if row["table"] == title and table in (None, title)]
        chosen = [row for row in of_table if not recipe or row["recipe"] == recipe]
        if chosen:
            lines += ["", f"**{about['title']}.** {about['note']}", "", *_markdown(chosen)]
    return lines[1:] or [NOT_RUN]


def _recipe_list(path: Path) -> list[str]:
    """All recipes, one line each, with links that hold in the file at ``path``."""
    lines = []
    for recipe in config.recipes():
        link = os.path.relpath(ROOT / "recipes" / recipe, path.parent)
        lines.append(f"- [{recipe}]({Path(link).as_posix()}/): {config.describe(recipe)}")
    return lines


def _markdown(rows: list[dict]) -> list[str]:
    """Tables of Markdown, one per test set, each with its small print."""
    lines = []
    for data, test in sorted({(row["data"], row["test_hash"]) for row in rows}):
        part = [row for row in rows if (row["data"], row["test_hash"]) == (data, test)]
        lines += ["", *tables.markdown(_table(part)).splitlines(), "", *_small_print(part)]
    return [*lines[1:], "", f"<sub>{FOOT}</sub>"]


def _table(rows: list[dict]) -> tables.Table:
    """The results on one test set: a line per experiment, the best voice SI-SDR first."""
    found = {(r["experiment"], r["source"], r["metric"], r["snr_db"]): r for r in rows}
    given = {(r["source"], r["metric"]) for r in rows}
    levels = sorted({r["snr_db"] for r in rows} - {ALL}, key=_level)
    columns = [
        (column, level)
        for column in SHOWN
        if (column.source, column.metric) in given
        for level in (*(levels if column.per_level else ()), ALL)
    ]
    experiments = _ranked(rows)

    def line(name, of_experiment, suffix=""):
        cells = []
        for column, level in columns:
            key = of_experiment, column.source, column.metric + suffix, level
            cells.append(_cell(found.get(key), column, level))
        return ((name,), *cells)

    lines = [line("mixture, as it is", experiments[0]["experiment"], MIXTURE)]
    for origin in experiments:
        about = ", a bound: given the references" if origin["bound"] else ""
        lines.append(line(origin["experiment"] + about, origin["experiment"]))
    largest = max(rows, key=lambda row: int(row["n"]))
    caption = (f"Test set {largest['data']} ({largest['test_hash']}), {largest['n']} mixtures in"
               f" {largest['n_groups']} groups")  # fmt: skip
    header = [c.head + (f" at {level} dB" if level != ALL else ", mean" if c.per_level else "")
              for c, level in columns]  # fmt: skip
    return tables.Table(caption, ("", *header), tuple(lines))


def _ranked(rows: list[dict]) -> list[dict]:
    """A row of each experiment, by descending mean of the first column shown."""
    first = SHOWN[0].source, SHOWN[0].metric, ALL
    of_name = {row["experiment"]: row for row in rows}
    means = {r["experiment"]: float(r["mean"] or "nan") for r in rows
             if (r["source"], r["metric"], r["snr_db"]) == first}  # fmt: skip
    ordered = sorted(of_name, key=lambda name: (-means.get(name, -1e9), name))
    return [of_name[name] for name in ordered]


def _cell(row: dict | None, column: Shown, level: str) -> tuple:
    """A mean; over all levels also its interval, where the column shows it."""
    if row is None:
        return ("",)
    mean, low, high = (
        tables.Number(float(row[name] or "nan"), column.decimals)
        for name in ("mean", "ci_low", "ci_high")
    )
    return (mean, " [", low, ", ", high, "]") if column.interval and level == ALL else (mean,)


def _small_print(rows: list[dict]) -> list[str]:
    """Where the numbers of each experiment come from, a line each."""
    lines = []
    for origin in _ranked(rows):
        facts = [f"preset {origin['preset'] or 'none'}, seed {origin['seed']}"]
        if origin["changes"]:
            facts.append(f"changed: `{origin['changes']}`")
        if origin["training_seconds"]:
            device = origin["device"]
            if device == "cpu":
                threads = int(origin["threads"])
                device += f" with {threads} thread{'' if threads == 1 else 's'}"
            facts.append(f"trained {float(origin['training_seconds']):,.0f} s on {device}")
            facts.append(f"{float(origin['audio_seconds_seen']):,.0f} s of audio seen")
        facts.append(f"{int(origin['parameters']):,} parameters")
        if origin["macs_per_second"]:
            macs = float(origin["macs_per_second"]) / 1e9
            facts.append(f"{macs:.2f} G multiply-accumulates per second of audio")
        facts.append(f"commit {origin['commit']}")
        if origin["scored_commit"] != origin["commit"]:
            facts.append(f"scored at {origin['scored_commit']}")
        facts.append(f"test set {origin['test_hash']}, BSS Eval by engine {origin['engine']}")
        for row in rows:
            whole = row["experiment"] == origin["experiment"] and row["snr_db"] == ALL
            if whole and int(row["n_failed"]):
                facts.append(f"{row['metric']} of the {row['source']}: {row['n_failed']} failed")
        text = "; ".join(facts)
        lines.append(f"- <sub>{origin['experiment']}: {text}; `{origin['command']}`</sub>")
    return lines


if __name__ == "__main__":
    guard(main)

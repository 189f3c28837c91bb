"""Tables of results between markers of the READMEs, made from the committed results.csv.

``<!-- results:NAME -->`` begins such a place and ``<!-- /results -->`` ends it; ``local.results``
says what NAME may be.
"""

import os
import re
from pathlib import Path

from local.base import config
from local.base.errors import UserError, nearest
from local.reporting import published, tables
from local.reporting.published import BY_LEVEL, FILE, LIST, SHOWN, Shown
from local.reporting.statistics import ALL
from local.scoring.score_table import MIXTURE

START, END = re.compile(r"<!-- results:(\S+) -->"), "<!-- /results -->"
NOT_RUN = "Not run yet."
FOOT = {
    "mean": "Means over the test mixtures; in brackets the 95 % interval of the mean, a bootstrap"
    " over groups: it covers the sampling of the test set, not of training seeds.",
    "median": "Medians over the test mixtures; in brackets the median absolute deviation from them,"
    " unscaled: how far mixtures differ, not how sure the median is.",
}
UNITS = (
    "In dB; STOI from 0 to 1, PESQ from 1 to 4.6. SI-SDR after Le Roux et al. 2019, mean removed;"
    " SDR v4: BSS Eval v4, median over frames of 1 s; higher is better in every column."
)
ELSEWHERE = (
    "Each line links to the page of its recipe, which says how it was made: command, settings,"
    " seed, commit, threads, engine of BSS Eval."
)
EFFORT = ("trained, minutes", "audio seen, hours", "parameters")


def texts() -> dict[Path, str]:
    """What each README should be: its text, with today's tables between the markers.

    Raises:
        UserError: a marker without its end, or that names nothing.
    """
    paths = [published.ROOT / "README.md", published.ROOT / "recipes" / "README.md"]
    for recipe in config.recipes():
        folder = published.ROOT / "recipes" / recipe
        paths += [folder / "README.md", *sorted(folder.glob("pretrained/*.md"))]
    known, rows = published.known_tables(), []
    for recipe in config.recipes():
        rows += published.read_csv(published.ROOT / "recipes" / recipe / FILE)
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
        where = f"{path.relative_to(published.ROOT)}, line {number}"
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
            # a table of many recipes links to each one's page for where a line comes from
            folder = path.parent if table and not recipe else None
            lines += ["", f"**{about['title']}.** {about['note']}", ""]
            lines += _markdown(chosen, about["statistic"], folder)
            if table is None:  # the recipe's own page has the details
                lines += _details(chosen)
    return lines[1:] or [NOT_RUN]


def _recipe_list(path: Path) -> list[str]:
    """All recipes, one line each, with links that hold in the file at ``path``."""
    lines = []
    for recipe in config.recipes():
        lines.append(f"- [{recipe}]({_link(recipe, path.parent)}): {config.describe(recipe)}")
    return lines


def _link(recipe: str, folder: Path) -> str:
    """The folder of a recipe, seen from another."""
    return Path(os.path.relpath(published.ROOT / "recipes" / recipe, folder)).as_posix() + "/"


def _markdown(rows: list[dict], statistic: str, folder: Path | None) -> list[str]:
    """Tables of Markdown, one per test set, each with its small print.

    Args:
        rows: of results.csv.
        statistic: of ``results.CENTRES``.
        folder: from where each line is to link to the page of its recipe, which has the small
            print; None: it stands below the table.
    """
    lines = []
    for data, test in sorted({(row["data"], row["test_hash"]) for row in rows}):
        part = [row for row in rows if (row["data"], row["test_hash"]) == (data, test)]
        lines += ["", *tables.markdown(_table(part, statistic, folder)).splitlines()]
        lines += [] if folder else ["", *_small_print(part)]
    foot = f"{FOOT[statistic]} {UNITS}" + (f" {ELSEWHERE}" if folder else "")
    return [*lines[1:], "", f"<sub>{foot}</sub>"]


def _table(rows: list[dict], statistic: str, folder: Path | None) -> tables.Table:
    """The results on one test set: a line per experiment, the best voice SI-SDR first."""
    found = {(r["experiment"], r["source"], r["metric"], r["snr_db"]): r for r in rows}
    given = {(r["source"], r["metric"]) for r in rows}
    levels = sorted({r["snr_db"] for r in rows} - {ALL}, key=published.level_order)
    columns = [
        (column, level)
        for column in SHOWN
        if (column.source, column.metric) in given
        for level in (*(levels if column.per_level else ()), ALL)
    ]
    experiments = _ranked(rows)

    def line(name, of_experiment, effort, suffix=""):
        cells = []
        for column, level in columns:
            key = of_experiment, column.source, column.metric + suffix, level
            cells.append(_cell(found.get(key), column, level, statistic))
        return ((name,), *cells, *((cell,) for cell in effort))

    lines = [line("mixture, as it is", experiments[0]["experiment"], [""] * len(EFFORT), MIXTURE)]
    for origin in experiments:
        name = origin["experiment"]
        if folder is not None:
            name = f"[{name}]({_link(origin['recipe'], folder)})"
        about = ", a bound: given the references" if origin["bound"] else ""
        lines.append(line(name + about, origin["experiment"], _effort(origin)))
    largest = max(rows, key=lambda row: int(row["n"]))
    caption = (f"Test set {largest['data']} ({largest['test_hash']}), {largest['n']} mixtures in"
               f" {largest['n_groups']} groups")  # fmt: skip
    over_all = f", {statistic}"
    header = [c.head + (f" at {level} dB" if level != ALL else over_all if c.per_level else "")
              for c, level in columns]  # fmt: skip
    return tables.Table(caption, ("", *header, *EFFORT), tuple(lines))


def _effort(origin: dict) -> list[str]:
    """What EFFORT heads, of an experiment; nothing where no gradients were taken."""
    if not origin["training_seconds"]:
        return [""] * len(EFFORT)
    minutes = float(origin["training_seconds"]) / 60
    hours = float(origin["audio_seconds_seen"]) / 3600
    return [f"{minutes:,.0f}", f"{hours:,.1f}", f"{int(origin['parameters']):,}"]


def _details(rows: list[dict]) -> list[str]:
    """Markdown of what BY_LEVEL shows: a table per experiment, with a line for each SNR level."""
    lines = []
    for data, test in sorted({(row["data"], row["test_hash"]) for row in rows}):
        part = [row for row in rows if (row["data"], row["test_hash"]) == (data, test)]
        for origin in _ranked(part):
            of_one = [row for row in part if row["experiment"] == origin["experiment"]]
            found = {(r["source"], r["metric"], r["snr_db"]): r for r in of_one}
            levels = sorted({level for *_, level in found} - {ALL}, key=published.level_order)
            # rows that were added before the details were kept have none
            kept = [{(s, m) for s, m, at in found if at == level} for level in levels]
            columns = [c for c in BY_LEVEL if all((c.source, c.metric) in k for k in kept)]
            if len(columns) <= 1:
                continue
            rest = tuple(
                ((f"{level} dB" if level != ALL else "mean",),
                 *(_cell(found.get((c.source, c.metric, level)), c, ALL, "mean") for c in columns))
                for level in (*levels, ALL)
            )  # fmt: skip
            caption = f"{origin['experiment']} by SNR; SDR, SIR and SAR after BSS Eval v4, dB"
            header = ("", *(c.head for c in columns))
            lines += ["", *tables.markdown(tables.Table(caption, header, rest)).splitlines()]
    return lines


def _ranked(rows: list[dict]) -> list[dict]:
    """A row of each experiment, by descending mean of the first column shown."""
    first = SHOWN[0].source, SHOWN[0].metric, ALL
    of_name = {row["experiment"]: row for row in rows}
    means = {r["experiment"]: float(r["mean"] or "nan") for r in rows
             if (r["source"], r["metric"], r["snr_db"]) == first}  # fmt: skip
    ordered = sorted(of_name, key=lambda name: (-means.get(name, -1e9), name))
    return [of_name[name] for name in ordered]


def _cell(row: dict | None, column: Shown, level: str, statistic: str) -> tuple:
    """A mean or median; over all levels also what belongs to it, where the column shows it."""
    if row is None:
        return ("",)

    def number(name):
        return tables.Number(float(row[name] or "nan"), column.decimals)

    if not column.interval or level != ALL:
        return (number(statistic),)
    if statistic == "median":
        return (number("median"), " (", number("mad"), ")")
    return (number("mean"), " [", number("ci_low"), ", ", number("ci_high"), "]")


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
            # a mixture has no artefacts: its SAR is none by definition
            if whole and int(row["n_failed"]) and not row["metric"].endswith(MIXTURE):
                facts.append(f"{row['metric']} of the {row['source']}: {row['n_failed']} failed")
        text = "; ".join(facts)
        lines.append(f"- <sub>{origin['experiment']}: {text}; `{origin['command']}`</sub>")
    return lines

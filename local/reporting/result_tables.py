"""Tables of published results in Markdown: in full, the short one, and one recipe's by SNR.

A table in full stands in recipes/RESULTS.md, the short one in README.md, and the page of a recipe
has its own experiments, with how they were made.
"""

import os
import posixpath
from pathlib import Path
from typing import NamedTuple

from local.reporting import published, speeds, tables
from local.reporting.statistics import ALL
from local.scoring.score_table import MIXTURE

Rows = list[dict[str, str]]
MIX_AS_IT_IS = "mixture, as it is"
BOUND = ", a bound: given the references"
UNDER_TRAINED = "networks under-trained"
RTF = ("real-time factor", "parameters")
EFFORT = ("minutes of training", "hours of audio seen", "parameters")


class Shown(NamedTuple):
    """A column of a table: which scores, under which head, and how they are shown.

    ``interval`` adds to the mean over all levels its 95 % interval; ``per_level`` puts a column
    for each level before it.
    """

    source: str
    metric: str
    head: str
    decimals: int = 1
    interval: bool = False
    per_level: bool = False


QUALITY = (
    Shown("noise", "si_sdr", "noise SI-SDR"),
    Shown("voice", "sdr_v4", "voice SDR"),
    Shown("voice", "stoi", "STOI", 2),
    Shown("voice", "pesq_wb", "WB-PESQ", 2),
    Shown("voice", "pesq_nb", "NB-PESQ", 2),
)
VOICE = Shown("voice", "si_sdr", "voice SI-SDR", interval=True, per_level=True)
GAIN = Shown("voice", "si_sdr_imp", "improvement", interval=True)
FULL = (VOICE, GAIN, *QUALITY)
RATINGS = (
    Shown("voice", "dnsmos_ovrl", "DNSMOS OVRL", 2, interval=True, per_level=True),
    Shown("voice", "dnsmos_sig", "SIG", 2),
    Shown("voice", "dnsmos_bak", "BAK", 2),
    Shown("voice", "dnsmos_p808", "P.808", 2),
    Shown("voice", "csig", "CSIG", 2),
    Shown("voice", "cbak", "CBAK", 2),
    Shown("voice", "covl", "COVL", 2),
    Shown("voice", "pesq_wb", "WB-PESQ", 2),
    Shown("voice", "si_sdr", "voice SI-SDR"),
)
BSS_EVAL = (
    Shown("voice", "si_sdr", "SI-SDR", interval=True),
    Shown("voice", "sdr_v4", "SDR (v4)", interval=True),
    Shown("voice", "sir_v4", "SIR (v4)", interval=True),
    Shown("voice", "sar_v4", "SAR (v4)", interval=True),
    Shown("voice", "sdr_v3", "SDR (v3)", interval=True),
    Shown("voice", "sir_v3", "SIR (v3)", interval=True),
    Shown("voice", "sar_v3", "SAR (v3)", interval=True),
)
COLUMNS = dict(zip(published.SHOWN, (FULL, RATINGS, BSS_EVAL), strict=True))
IN_SHORT = (VOICE, *(column for column in QUALITY if column.metric != "sdr_v4"))
BY_LEVEL = (
    VOICE,
    Shown("voice", "sdr_v4", "SDR"),
    Shown("voice", "sir_v4", "SIR"),
    Shown("voice", "sar_v4", "SAR"),
    Shown("voice", "stoi", "STOI", 2),
    Shown("voice", "pesq_wb", "WB-PESQ", 2),
    Shown("voice", "pesq_nb", "NB-PESQ", 2),
    Shown("voice", "covl", "COVL", 2),
    Shown("voice", "dnsmos_ovrl", "DNSMOS OVRL", 2),
    Shown("noise", "si_sdr", "noise SI-SDR", interval=True),
    Shown("noise", "sdr_v4", "SDR"),
    Shown("noise", "sir_v4", "SIR"),
    Shown("noise", "sar_v4", "SAR"),
)


def full(rows: Rows, about: dict, folder: Path) -> list[str]:
    """Lines of Markdown of one table of tables.yml: its note, and a table per test set.

    Args:
        rows: of that table.
        about: its description.
        folder: where the file is, for links.
    """
    title = about["title"] + (f": {UNDER_TRAINED}" if about["under_trained"] else "")
    lines = [f"## {title}", "", about["note"]]
    for part in _test_sets(rows):
        lines += ["", *_markdown(part, about["statistic"], folder, COLUMNS[about["shown"]])]
    return lines


def short(rows: Rows, known: dict, folder: Path) -> list[str]:
    """Lines of Markdown of the short table: the experiments under ``short`` in tables.yml.

    Args:
        rows: of all recipes.
        known: what tables.yml says.
        folder: where the file is, for links.
    """
    speed, lines = speeds.read(published.ROOT), []
    for table, about in known.items():
        chosen = [r for r in rows if r["table"] == table and r["experiment"] in about["short"]]
        for part in _test_sets(chosen):
            found, levels = _by_key(part), _levels(part)
            ends = list(dict.fromkeys((levels[0], levels[-1])))
            columns = [
                (column, level)
                for column in _given(part, IN_SHORT)
                for level in (*(ends if column.per_level else ()), ALL)
            ]
            body = []
            for origin in _ranked(part):
                cost = speeds.of_experiment(origin, speed)
                factor = "" if cost is None else tables.Number(cost, 4)
                cells = [
                    _cell(found.get((origin["experiment"], c.source, c.metric, level)), c, level)
                    for c, level in columns
                ]
                count = f"{int(origin['parameters']):,}"
                name = _name(origin, folder, with_numbers=False)
                body.append(((name,), *cells, (factor,), (count,)))
            header = [
                c.head + (f" at {at} dB" if at != ALL else ", mean" if c.per_level else "")
                for c, at in columns
            ]
            caption = _caption(part) + (f"; {UNDER_TRAINED}" if about["under_trained"] else "")
            lines += ["", *_lines(caption, ("", *header, *RTF), body)]
    return lines[1:]


def of_recipe(rows: Rows, known: dict, folder: Path) -> list[str]:
    """Lines of Markdown of one recipe's results: all, the best by SNR, and, folded, the others by
    SNR and how all were made.

    Args:
        rows: of the recipe.
        known: what tables.yml says.
        folder: where the file is, for links.
    """
    own = {}  # an experiment may be in several tables
    for row in sorted(rows, key=lambda row: list(known).index(row["table"])):
        key = tuple(row[name] for name in ("data", "test_hash", "experiment", *published.SCORE))
        own.setdefault(key, row)
    lines, others, made = [], [], []
    for part in _test_sets(list(own.values())):
        lines += ["", *_markdown(part, "mean", None)]
        place = lines  # the best one's, in sight
        for origin in _ranked(part):
            of_one = [row for row in part if row["experiment"] == origin["experiment"]]
            by_snr = _by_snr(origin, of_one, known[origin["table"]]["under_trained"])
            place += by_snr
            place = others if by_snr else place
            made.append(_origin(origin, of_one))
    root = Path(os.path.relpath(published.ROOT / "recipes", folder)).as_posix()
    data = posixpath.normpath(f"{link(rows[0]['recipe'], folder)}{published.FILE}")
    return [
        *lines[1:],
        "",
        f"Numbers with all digits: [{published.FILE}]({data}). What the columns mean, and all"
        f" recipes side by side: [RESULTS.md]({root}/RESULTS.md).",
        "",
        f"<details><summary>{'The others by SNR, and how' if others else 'How'} these numbers were"
        " made</summary>",
        *others,
        "",
        *made,
        "",
        "</details>",
    ]


def _test_sets(rows: Rows) -> list[Rows]:
    """Rows of one test set each."""
    keys = sorted({(row["data"], row["test_hash"]) for row in rows})
    return [[row for row in rows if (row["data"], row["test_hash"]) == key] for key in keys]


def _markdown(
    rows: Rows, statistic: str, folder: Path | None, shown: tuple[Shown, ...] = FULL
) -> list[str]:
    """The results on one test set: a line per experiment, the best voice SI-SDR first.

    ``folder``: from where each line links to its recipe; None: the lines have no links.
    ``shown``: the columns; the first may have one for each level.
    """
    found, levels = _by_key(rows), _levels(rows)
    columns = [
        (column, level)
        for column in _given(rows, shown)
        for level in (*(levels if column.per_level else ()), ALL)
    ]
    ranked = _ranked(rows)

    def cells(experiment, suffix=""):
        keys = ((experiment, c.source, c.metric + suffix, level) for c, level in columns)
        return [
            _cell(found.get(key), c, level, statistic)
            for key, (c, level) in zip(keys, columns, strict=True)
        ]

    nothing = [("",)] * len(EFFORT)
    body = [((MIX_AS_IT_IS,), *cells(ranked[0]["experiment"], MIXTURE), *nothing)]
    for origin in ranked:
        body.append(((_name(origin, folder),), *cells(origin["experiment"]), *_effort(origin)))
    header = [_head(c, level, statistic) for c, level in columns]
    kept = _worth_showing(("", *header, *EFFORT), body[1:])
    said = f"{shown[0].head} at each SNR and its" if shown[0].per_level else "the voice:"
    caption = f"{_caption(rows)}; {said} {statistic}"
    header = ["", *header, *EFFORT]
    return _lines(caption, [header[k] for k in kept], [[row[k] for k in kept] for row in body])


def _worth_showing(header: tuple, body: list) -> list[int]:
    """Places of columns that hold something in most lines, and not the same effort in all."""
    kept = []
    for k, head in enumerate(header):
        said = [tables.plain(row[k]) for row in body]
        same = head in EFFORT and len(said) > 1 and len(set(said)) == 1
        if sum(map(bool, said)) * 2 > len(said) and not same:
            kept.append(k)
    return kept


def _by_snr(origin: dict, rows: Rows, under_trained: bool) -> list[str]:
    """A table of one experiment, with a line for each SNR level; none without the details."""
    found = {(row["source"], row["metric"], row["snr_db"]): row for row in rows}
    levels = _levels(rows)
    # rows that were added before the details were kept have none
    columns = [c for c in BY_LEVEL if all((c.source, c.metric, at) in found for at in levels)]
    if len(columns) <= 1:
        return []
    body = [
        [(f"{level} dB" if level != ALL else "mean",)]
        + [_cell(found.get((c.source, c.metric, level)), c, ALL) for c in columns]
        for level in (*levels, ALL)
    ]
    trained = ""
    if origin["training_seconds"]:
        trained = f", after {float(origin['training_seconds']) / 60:,.0f} minutes of training"
        trained += " (under-trained)" if under_trained else ""
    return ["", *_lines(f"{origin['experiment']} by SNR{trained}", _heads(columns), body)]


def _heads(columns: list[Shown]) -> list[str]:
    return ["", *(column.head for column in columns)]


def _lines(caption: str, header, body) -> list[str]:
    table = tables.Table(caption, tuple(header), tuple(map(tuple, body)))
    return tables.markdown(table).splitlines()


def _by_key(rows: Rows) -> dict:
    return {(r["experiment"], r["source"], r["metric"], r["snr_db"]): r for r in rows}


def _levels(rows: Rows) -> list[str]:
    return sorted({row["snr_db"] for row in rows} - {ALL}, key=published.level_order)


def _given(rows: Rows, columns: tuple[Shown, ...]) -> list[Shown]:
    given = {(row["source"], row["metric"]) for row in rows}
    return [column for column in columns if (column.source, column.metric) in given]


def _head(column: Shown, level: str, statistic: str) -> str:
    if column.per_level:
        return f"{level} dB" if level != ALL else statistic
    return column.head


def _caption(rows: Rows) -> str:
    largest = max(rows, key=lambda row: int(row["n"]))
    return (f"Test set {largest['data']} ({largest['test_hash']}), {largest['n']} mixtures in"
            f" {largest['n_groups']} groups")  # fmt: skip


def _name(origin: dict, folder: Path | None, with_numbers: bool = True) -> str:
    """An experiment, with links to the page and the numbers of its recipe."""
    name = origin["experiment"]
    if folder is not None:
        recipe = link(origin["recipe"], folder)
        name = f"[{name}]({recipe})"
        name += f" ([CSV]({recipe}{published.FILE}))" if with_numbers else ""
    return name + (BOUND if origin["bound"] else "")


def link(recipe: str, folder: Path) -> str:
    """The folder of a recipe, seen from another."""
    return Path(os.path.relpath(published.ROOT / "recipes" / recipe, folder)).as_posix() + "/"


def _effort(origin: dict) -> list[tuple]:
    """What EFFORT heads, of an experiment; nothing where no gradients were taken."""
    if not origin["training_seconds"]:
        return [("",)] * len(EFFORT)
    minutes = float(origin["training_seconds"]) / 60
    hours = float(origin["audio_seconds_seen"]) / 3600
    return [(f"{minutes:,.0f}",), (f"{hours:,.1f}",), (f"{int(origin['parameters']):,}",)]


def _ranked(rows: Rows) -> Rows:
    """A row of each experiment, by descending mean of the voice's SI-SDR."""
    of_name = {row["experiment"]: row for row in rows}
    means = {name: mean_of(rows, name) for name in of_name}
    ordered = sorted(of_name, key=lambda name: (-means[name] if means[name] else 1e9, name))
    return [of_name[name] for name in ordered]


def mean_of(rows: Rows, experiment: str) -> float | None:
    """Mean SI-SDR of the voice over all SNRs, of one experiment; None where it was not scored."""
    row = _by_key(rows).get((experiment, VOICE.source, VOICE.metric, ALL))
    return float(row["mean"]) if row and row["mean"] else None


def _cell(row: dict | None, column: Shown, level: str, statistic: str = "mean") -> tuple:
    """A mean or median; over all levels also what belongs to it, where the column shows it."""
    if row is None:
        return ("",)

    def number(name):
        return tables.Number(float(row[name] or "nan"), column.decimals)

    if not column.interval or level != ALL:
        return (number(statistic),)
    if statistic == "median":
        return tables.or_nothing(number("median"), " (", number("mad"), ")")
    return tables.or_nothing(number("mean"), " [", number("ci_low"), ", ", number("ci_high"), "]")


def _origin(origin: dict, rows: Rows) -> str:
    """Where the numbers of an experiment come from, as a line of a list."""
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
        # a mixture has no artefacts: its SAR is none by definition
        if row["snr_db"] == ALL and int(row["n_failed"]) and not row["metric"].endswith(MIXTURE):
            facts.append(f"{row['metric']} of the {row['source']}: {row['n_failed']} failed")
    return f"- {origin['experiment']}: {'; '.join(facts)}; `{origin['command']}`"

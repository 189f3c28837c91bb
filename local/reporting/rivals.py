"""One model against others on the same examples: what the card of its weights says of them.

The rows are of ``recipes/<recipe>/rivals.csv``: a difference is the mean of the model's SI-SDR
minus the rival's, over the examples of one SNR level or of all. The test is that of
``local.reporting.significance``; the model against each rival, at every level and in both sources,
is one family of Holm's correction.
"""

import math
import os
from pathlib import Path

import pandas

from local import SOURCES
from local.base import experiment
from local.base.errors import UserError
from local.base.experiment import Experiment
from local.reporting import contenders, published, significance, standings, statistics, tables
from local.reporting.tables import Number, Table

FILE = "rivals.csv"
METRIC = "si_sdr"
KEY = ("data", "test_hash", "experiment", "rival")
COLUMNS = (*KEY, "source", "metric", "snr_db", "n", "n_groups", "difference", "ci_low", "ci_high",
           "p", "p_holm", "model_sha256", "commit")  # fmt: skip
DECIMALS = 1


def against(model: Path, others: list[Path]) -> pandas.DataFrame:
    """Rows of a rivals.csv.

    Args:
        model: ``exp/<data>/<experiment>``, scored.
        others: the same, scored on the same test set; they may lie elsewhere.

    Raises:
        UserError: no experiment, not scored on that test set, one of a name twice, or two without
            a score in common.
    """
    model = Path(os.path.abspath(model))
    test_hash = published.scores_folder(model, "scores.csv", 2).name
    found = []
    for path in (model, *others):
        try:
            found.append(contenders.read(Experiment(Path(os.path.abspath(path))), test_hash))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    names = [of.experiment.name for of in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name}: named twice; a model is compared with others")
    for of in found:
        if METRIC not in of.scores:
            raise UserError(f"{of.experiment.folder}: scored without {METRIC}; run stage 2 with"
                            f" --metrics {METRIC}")  # fmt: skip
    parts = []
    for source in SOURCES:
        scores = [of.scores.xs(source, level="source") for of in found]
        voices = scores[0].sort_values("snr_db", kind="stable")
        labels, _ = statistics.levels(voices["snr_db"])
        values = {name: each[METRIC] for name, each in zip(names, scores, strict=True)}
        values = pandas.DataFrame(values).loc[voices.index]
        for rival in names[1:]:  # two at a time, so that each pair has all its own examples
            pair = [names[0], rival]
            try:
                result = significance.contest(
                    values[pair], voices["group"], labels, pair, seed=standings.SEED
                )
            except ValueError as error:
                raise UserError(f"{names[0]} and {rival}: {error}; leave it out") from None
            parts.append(result.pairs.assign(source=source, rival=rival))
    rows = pandas.concat(parts, ignore_index=True)
    rows["p_holm"] = significance.holm(rows["p"].to_numpy())
    rows = rows.assign(
        data=found[0].experiment.data, test_hash=test_hash, experiment=names[0], metric=METRIC,
        model_sha256=found[0].about["model_sha256"], commit=experiment.provenance()["commit"],
    )  # fmt: skip
    return rows[list(COLUMNS)]


def text(rows: pandas.DataFrame) -> str:
    """Rows as a CSV file."""
    return rows.to_csv(index=False, float_format=f"%.{tables.DIGITS}g", lineterminator="\n")


def read(path: Path) -> pandas.DataFrame:
    """Rows of a rivals.csv; none where there is no file.

    Raises:
        UserError: other columns than COLUMNS.
    """
    if not path.is_file():
        return pandas.DataFrame(columns=list(COLUMNS))
    rows = pandas.read_csv(path, dtype={"snr_db": str})
    if tuple(rows.columns) != COLUMNS:
        raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}; make it again")
    return rows


def markdown(rows: pandas.DataFrame, home: str) -> list[str]:
    """Lines of Markdown: a table for each source, a line for each rival, the nearest first.

    Args:
        rows: of one rivals.csv.
        home: its folder, seen from the text, such as ``../``.
    """
    lines = []
    for source, part in rows.groupby("source", sort=False):
        levels = sorted(set(part["snr_db"]), key=_place)
        cells = {(row["rival"], row["snr_db"]): row for row in part.to_dict("records")}
        overall = part[part["snr_db"] == statistics.ALL].sort_values("difference")
        body = tuple(
            ((rival,), *(_cell(cells.get((rival, level))) for level in levels))
            for rival in overall["rival"]
        )
        first = part.iloc[0]
        caption = (
            f"{source.capitalize()} SI-SDR of {first['experiment']} minus that of each, in dB;"
            f" test set {first['data']} ({first['test_hash']})"
        )
        heads = ["mean" if level == statistics.ALL else f"{level} dB" for level in levels]
        lines += ["", *tables.markdown(Table(caption, ("", *heads), body)).splitlines()]
    return [
        *lines[1:],
        "",
        f"In brackets 95 % intervals by groups of examples. Marked{standings.MARK}: p below"
        f" {significance.ALPHA} in a Wilcoxon test on the means of groups, after Holm's correction"
        f" for the {len(rows)} cells of both tables. Numbers with all digits:"
        f" [{FILE}]({home}{FILE}).",
    ]


def _place(level: str) -> float:
    """Where a level stands: by its SNR, a bin by its lower edge, ALL last."""
    return math.inf if level == statistics.ALL else float(level.partition(" to ")[0])


def _cell(row: dict | None) -> tuple:
    """A difference with its interval, marked where it is one; None: no example in common."""
    if row is None:
        return (tables.NOTHING,)
    ends = tables.interval(row["ci_low"], row["ci_high"], DECIMALS)
    mark = [standings.MARK] if row["p_holm"] < significance.ALPHA else []
    return (Number(row["difference"], DECIMALS, signed=True), " ", *ends, *mark)

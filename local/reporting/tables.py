"""Tables of scores, made once and shown three ways: on a terminal, as Markdown, in a page.

A cell is a tuple of strings and Numbers, so that a page can carry each value in full beside what
is printed of it.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import pandas

from local.reporting import statistics
from local.reporting.statistics import ALL
from local.scoring import metrics, score_table
from local.scoring.score_table import IMPROVEMENT, MIXTURE

NOTHING = "–"
STATISTICS = ("mixture", "estimate", "median", "MAD", "improvement", "95 % interval")
FEW = 6  # groups, below which an interval is known to be too narrow
DIGITS = 6  # significant ones, in by_snr.csv and in what a page carries


class Number(NamedTuple):
    """A value and how it is printed: decimals (None: as it is), and whether with its sign."""

    value: float
    decimals: int | None = 2
    signed: bool = False

    @property
    def exact(self) -> str:
        """As by_snr.csv has it."""
        return exact(self.value)

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return NOTHING
        if self.decimals is None:
            return self.exact
        text = f"{self.value:{'+' if self.signed else ''}.{self.decimals}f}"
        # nothing is worse by 0.00
        return text.lstrip("+-") if float(text) == 0 else text


class Table(NamedTuple):
    """A caption, the columns' names and rows of cells; the first cell of a row is its name."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[tuple, ...], ...]


def exact(value: float) -> str:
    """A number to DIGITS significant digits, a count in full; ``nan`` where there is none."""
    return str(value) if isinstance(value, Integral) else f"{value:.{DIGITS}g}"


def interval(low: float, high: float, places: int) -> tuple:
    """Parts of a cell, ``[low, high]``; NOTHING where there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return (Number(math.nan),)
    return ("[", Number(low, places), ", ", Number(high, places), "]")


def about(column: str) -> metrics.Metric:
    """What a column of scores is; an unknown one is called by its name."""
    known = metrics.METRICS | metrics.EXTRAS
    return known.get(score_table.base(column)) or metrics.Metric(column, "", "", "")


def column(name_of: str) -> str:
    """What a column of scores.csv holds: ``SI-SDR improvement (dB)``, ``SI-SDR (dB)``."""
    kinds = {IMPROVEMENT: " improvement", MIXTURE: " of the mixture"}
    kind = next((words for suffix, words in kinds.items() if name_of.endswith(suffix)), "")
    unit = about(name_of).unit
    return f"{about(name_of).label}{kind}" + (f" ({unit})" if unit else "")


def decimals(metric: str) -> int:
    """How many decimals of a metric are worth printing."""
    return 2 if about(metric).unit else 3


def row_of(table: pandas.DataFrame, level: str, source: str, column: str) -> dict:
    """A row of ``statistics.by_snr``, as a dict; NaN and 0 where that was not scored."""
    found = table[
        (table["snr_db"] == level) & (table["source"] == source) & (table["metric"] == column)
    ]
    if len(found):
        return found.iloc[0].to_dict()
    return dict.fromkeys(table.columns, math.nan) | {"n": 0, "n_groups": 0, "n_failed": 0}


def per_level(table: pandas.DataFrame, source: str, metric: str) -> Table:
    """One metric of one source by SNR: means, median, MAD, and the improvement's interval."""
    rows = table[(table["source"] == source) & (table["metric"] == metric)]
    counts = {"n": "n", "groups": "n_groups"}
    if (rows["n_failed"] > 0).any():
        counts["failed"] = "n_failed"
    caption = f"{source.capitalize()}: {column(metric)}, means; median and MAD of the estimates"
    header = ("SNR (dB)", *counts, *STATISTICS)
    levels = (*statistics.level_names(table), ALL)
    return Table(caption, header, tuple(
        ((level,), *_line_of(table, level, source, metric, counts.values())) for level in levels
    ))  # fmt: skip


def overview(table: pandas.DataFrame, source: str) -> Table:
    """Every metric of one source over all SNRs."""
    counts = {"n": "n", "failed": "n_failed"}
    caption = f"{source.capitalize()}: every metric, means; median and MAD of the estimates"
    header = ("over all SNRs", *counts, *STATISTICS)
    return Table(caption, header, tuple(
        ((column(metric),), *_line_of(table, ALL, source, metric, counts.values()))
        for metric in _rows_of(table, source)
    ))  # fmt: skip


def medians(table: pandas.DataFrame, source: str) -> Table:
    """Median and MAD of every metric of the estimates, by SNR."""

    def cell(row, _, places):
        return or_nothing(Number(row["median"], places), " (", Number(row["mad"], places), ")")

    return _by_metric(table, source, f"{source.capitalize()}: median (MAD) of the estimates", cell)


def means(table: pandas.DataFrame, source: str) -> Table:
    """Mean of every metric of the estimates and its 95 % interval, by SNR."""

    def cell(row, _, places):
        return or_nothing(Number(row["mean"], places), " ", *_interval(row, places))

    caption = f"{source.capitalize()}: mean of the estimates [95 % interval]"
    return _by_metric(table, source, caption, cell)


def improvements(table: pandas.DataFrame, source: str) -> Table:
    """Mean improvement over the mixture and its 95 % interval, by SNR."""

    def cell(_, gain, places):
        return or_nothing(Number(gain["mean"], places, True), " ", *_interval(gain, places))

    caption = f"{source.capitalize()}: mean improvement over the mixture [95 % interval]"
    return _by_metric(table, source, caption, cell, score_table.metrics(table["metric"]))


def seeds(tables: dict[int, pandas.DataFrame], source: str, metric: str) -> Table:
    """A metric's mean for each training seed, by SNR, with mean and deviation over the seeds."""
    spread = statistics.by_seed(tables, source, metric)
    places = decimals(metric)
    header = ("SNR (dB)", *(f"seed {seed}" for seed in sorted(tables)), "mean", "std over seeds")
    rows = tuple(
        ((level,), *((Number(value, places),) for value in row))
        for level, *row in spread.itertuples(name=None)
    )
    caption = f"{source.capitalize()}: mean {column(metric)} of each training seed"
    return Table(caption, header, rows)


def example(scores: pandas.DataFrame) -> Table:
    """Every score of one example: its rows of scores.csv, one per source."""
    kinds = {"mixture": MIXTURE, "estimate": "", "improvement": IMPROVEMENT}
    of_source = {row["source"]: row for row in scores.to_dict("records")}
    header = ("", *(f"{source}, {kind}" for source in of_source for kind in kinds))
    rows = []
    for metric in (
        column
        for column in score_table.metric_columns(scores)
        if score_table.base(column) == column
    ):
        values = [
            Number(row.get(metric + suffix, math.nan), decimals(metric), suffix == IMPROVEMENT)
            for row in of_source.values()
            for suffix in kinds.values()
        ]
        if any(math.isfinite(value.value) for value in values):
            rows.append(((column(metric),), *((value,) for value in values)))
    return Table("Scores", header, tuple(rows))


def failures(table: pandas.DataFrame) -> Table:
    """What ``score_table.failures`` found."""
    rows = tuple(
        ((f"{source}, {column(metric)}: {reason}",), (Number(count, None),))
        for source, metric, reason, count in table.itertuples(index=False)
    )
    return Table("Scores that failed", ("where and why", "examples"), rows)


def notes(table: pandas.DataFrame) -> list[str]:
    """What has to be known to read the tables of a report, a sentence or two each."""
    mad = "MAD is the median absolute deviation from the median, unscaled."
    return [*interval_notes(table), mad]


def interval_notes(table: pandas.DataFrame) -> list[str]:
    """What has to be known to read intervals and levels; ``table``: snr_db, n, n_groups."""
    groups = table.loc[table["n"] > 0, "n_groups"]
    said = [
        "Intervals are 95 % intervals of the mean. They say what another test set could give, not"
        f" another training seed. They come from a seeded bootstrap ({statistics.RESAMPLES:,}"
        " draws, expanded percentiles after Hesterberg 2015) over groups, because examples"
        " of one group, such as those with one recording of noise, are not independent.",
    ]
    if (groups < 2).any():
        said.append("With one group only there is no interval.")
    if ((groups > 1) & (groups < FEW)).any():
        said.append(
            f"With fewer than {FEW} groups an interval is too narrow: with 2, 3, 4, 5 groups it"
            " includes the true mean in about 50, 75, 85, 90 % of cases."
        )
    if statistics.binned(table):
        said.append(
            f"SNRs are in bins with the edges {', '.join(_edges(table))} dB; a bin holds its lower"
            " edge, the last one both."
        )
    return said


def _edges(table: pandas.DataFrame) -> list[str]:
    return list(
        dict.fromkeys(edge for bin in statistics.level_names(table) for edge in bin.split(" to "))
    )


def text(table: Table) -> str:
    """A table as lines of plain text, columns aligned; no line ends in a space."""
    cells = [table.header, *([plain(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(table.header))]
    lines = [table.caption]
    for row in cells:
        first, *rest = (
            text.ljust(width) if k == 0 else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines) + "\n"


def markdown(table: Table) -> str:
    """A table in Markdown: its caption in bold, numbers to the right."""
    lines = [f"**{_escape(table.caption)}**", "", _line(table.header)]
    lines.append(_line(["---", *["---:"] * (len(table.header) - 1)]))
    lines += [_line([plain(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def plain(cell: tuple) -> str:
    """A cell as text."""
    return "".join(str(part) for part in cell)


def or_nothing(first: Number, *rest) -> tuple:
    """A cell; where its first number has no value, that alone."""
    return (first, *rest) if math.isfinite(first.value) else (first,)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _interval(row: dict, places: int) -> tuple:
    return interval(row["ci_low"], row["ci_high"], places)


def _by_metric(table, source, caption, cell, chosen=None) -> Table:
    """Rows: metrics; columns: levels and ALL; ``cell(row, row of the improvement, decimals)``."""
    levels = (*statistics.level_names(table), ALL)
    rows = []
    for metric in _rows_of(table, source):
        if chosen is None or metric in chosen:
            kinds, places = (metric, metric + IMPROVEMENT), decimals(metric)
            pairs = [[row_of(table, level, source, kind) for kind in kinds] for level in levels]
            rows.append(((column(metric),), *(cell(*pair, places) for pair in pairs)))
    header = ("SNR (dB)", *levels)
    return Table(caption, header, tuple(rows))


def _rows_of(table: pandas.DataFrame, source: str) -> list[str]:
    """The metrics of a source, then what else was scored of its estimates."""
    found = dict.fromkeys(table.loc[table["source"] == source, "metric"])
    return [*filter(_is_base, found)]


def _is_base(column: str) -> bool:
    return score_table.base(column) == column


def _line_of(table, level, source, metric, counts) -> list[tuple]:
    """Cells: counts and STATISTICS of a metric."""
    places = decimals(metric)
    estimate = row_of(table, level, source, metric)
    mixture = row_of(table, level, source, metric + MIXTURE)
    gain = row_of(table, level, source, metric + IMPROVEMENT)
    cells = [(Number(estimate[count], None),) for count in counts]
    cells += [(Number(mixture["mean"], places),)]
    cells += [(Number(estimate[key], places),) for key in ("mean", "median", "mad")]
    return [*cells, (Number(gain["mean"], places, True),), _interval(gain, places)]

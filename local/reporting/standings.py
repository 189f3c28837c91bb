"""How contenders stand: every metric of both sources compared, costs beside them, as tables."""

import itertools
from typing import NamedTuple

import numpy as np
import pandas

from local import SOURCES
from local.base import progress
from local.base.errors import UserError
from local.reporting import contenders, pages, significance, statistics, tables
from local.reporting.contenders import Contender
from local.reporting.statistics import ALL
from local.reporting.tables import Number, Table
from local.scoring import score_table

SEED = 0  # of the bootstrap
MIX = "mixture, as it is"
WORTH = "si_sdr_vs_residual"
MARK = " *"
COSTS = {
    "parameters": "parameters",
    "macs_per_second": "MAC per second",
    "real_time_factor": "real-time factor",
    "audio_seconds_seen": "audio seen (s)",
}
"""Names in scores.yml -> what they are called."""


class Standings(NamedTuple):
    """A comparison of contenders on one test set.

    Attributes:
        contenders: by descending mean of the headline metric of the voice, bounds last.
        metric: the headline.
        contests: (source, metric) -> how the contenders compare in it; the mixture is among them.
        not_compared: (source, metric) in which no example has a value for every contender.
        worth: by contender: mean, ci_low, ci_high of WORTH (dB).
    """

    contenders: list[Contender]
    metric: str
    contests: dict[tuple[str, str], significance.Contest]
    not_compared: list[tuple[str, str]]
    worth: pandas.DataFrame

    @property
    def rivals(self) -> list[str]:
        """Those that may be best."""
        return [of.name for of in self.contenders if not of.bound]


def stand(found: list[Contender]) -> Standings:
    """Compare contenders in every metric that all were scored in.

    Raises:
        UserError: there is no metric in which every contender has a score of one example.
    """
    names = contenders.shared_metrics(found)
    metric = score_table.headline([column for name in names for column in (name, f"{name}_imp")])
    rivals = [of.name for of in found if not of.bound]
    voices = found[0].scores.xs(SOURCES[0], level="source").sort_values("snr_db", kind="stable")
    groups, (labels, _) = voices["group"], statistics.levels(voices["snr_db"])
    contests, not_compared = {}, []
    pairs = list(itertools.product(SOURCES, names))
    for source, name in progress.bar(pairs, "comparing", unit="metrics", leave=False):
        values = contenders.scores_of(found, source, name)
        scored = np.isfinite(values)
        if not scored.any(axis=None):
            continue  # a metric that is not for this source
        # who has no value at all (artifacts of a mixture) must not take the table from the others
        without = list(values.columns[~scored.any()])
        if not scored.drop(columns=without).all(axis=1).any():
            not_compared.append((source, name))
            continue
        values[MIX] = contenders.mixture_scores(found, source, name)
        taking_part = [of for of in rivals if of not in without]
        contests[source, name] = significance.contest(
            values.loc[voices.index], groups, labels, taking_part, [MIX, *without], SEED
        )
    if not contests:
        raise UserError("there is no metric in which all experiments scored a same example; left"
                        f" are {', '.join(of.name for of in found)}")  # fmt: skip
    order = sorted(found, key=lambda of: (of.bound, -_mean(contests, of.name, metric), of.name))
    return Standings(order, metric, contests, not_compared, _worth(order, groups))


def _mean(contests: dict, name: str, metric: str) -> float:
    contest = contests.get((SOURCES[0], metric))
    mean = np.nan if contest is None else _cell(contest.means, ALL, name)["mean"]
    return -np.inf if np.isnan(mean) else mean


def _worth(found: list[Contender], groups: pandas.Series) -> pandas.DataFrame:
    """What a noise output is better than mixture minus voice, by contender."""
    values = contenders.scores_of(found, SOURCES[1], WORTH).loc[groups.index]
    table = statistics.describe(values, groups, SEED).set_index("metric")
    return table[["mean", "ci_low", "ci_high"]]


def verdict(worth: pandas.Series) -> str:
    """Whether a noise output earns its place; open where the interval holds 0 or is missing."""
    if np.isnan(worth["mean"]):
        return tables.NOTHING
    if worth["ci_low"] > 0:
        return "yes"
    return "no" if worth["ci_high"] < 0 else "open"


def title(of: Contender) -> str:
    """The name of a contender in a table."""
    return f"{of.name}, a bound" if of.bound else of.name


def overview(standings: Standings) -> Table:
    """The main table: quality over all SNRs, and ``costs`` beside it."""
    beside = costs(standings)
    sources = [source for source in SOURCES if (source, standings.metric) in standings.contests]
    header = [f"{source} {tables.column(standings.metric)}" for source in sources]
    cells = {name: [_all_cell(standings.contests[source, standings.metric], name, standings.metric)
                    for source in sources] for name, _ in _lines(standings)}  # fmt: skip
    empty = [("",)] * (len(beside.header) - 1)
    rows = [((MIX,), *cells[MIX], *empty)]
    for of, (name, *rest) in zip(standings.contenders, beside.rows, strict=True):
        rows.append((name, *cells[of.name], *rest))
    return Table("Over all SNRs", ("", *header, *beside.header[1:]), tuple(rows))


def costs(standings: Standings) -> Table:
    """Whether each noise output earns its place, and what each contender costs."""
    header = ("", "noise over residual (dB)", "earns its place", *COSTS.values(), "seeds")
    rows = []
    for of in standings.contenders:
        worth = standings.worth.loc[of.name]
        over = _interval(worth["mean"], worth["ci_low"], worth["ci_high"], 2, signed=True)
        spent = [(pages.quantity(of.cost(key)),) for key in COSTS]
        rows.append(((title(of),), over, (verdict(worth),),
                     *spent, (str(len(of.seeds)),)))  # fmt: skip
    return Table("The noise output, and what each system costs", header, tuple(rows))


def means(standings: Standings, source: str, metric: str) -> Table:
    """One metric of one source: contenders by SNR, the best marked where the test says so."""
    contest = standings.contests[source, metric]
    levels = list(dict.fromkeys(contest.means["snr_db"]))
    rows = []
    for name, shown in _lines(standings):
        cells = [_mark(_cell(contest.means, level, name), metric) for level in levels[:-1]]
        rows.append(((shown,), *cells, _all_cell(contest, name, metric)))
    caption = f"{source.capitalize()}: {tables.column(metric)}{_size(contest)}"
    return Table(caption, ("", *_heads(levels)), tuple(rows))


def differences(standings: Standings, source: str, metric: str) -> Table | None:
    """How far the others are from the best over all SNRs; None where there is only one rival."""
    contest = standings.contests[source, metric]
    if contest.pairs.empty:
        return None
    overall = contest.means[contest.means["snr_db"] == ALL].set_index("system")["mean"]
    ranked = sorted({*contest.pairs["a"], *contest.pairs["b"]}, key=lambda name: -overall[name])
    levels = list(dict.fromkeys(contest.pairs["snr_db"]))
    rows = tuple(
        ((name,), *(_difference(contest.pairs, level, name, ranked[0], metric) for level in levels))
        for name in ranked[1:]
    )
    caption = f"{source.capitalize()}: {tables.column(metric)}, difference from {ranked[0]}"
    if contest.means["n"].max() > contest.common:
        caption += f", {contest.common} examples that all have"
    return Table(caption, ("", *_heads(levels)), rows)


def seed_tables(standings: Standings) -> list[Table]:
    """For each contender of several seeds: the headline metric of each, mean and spread."""
    found = []
    columns = ["snr_db", "group", standings.metric, "failed"]
    for of, source in itertools.product(standings.contenders, SOURCES):
        if len(of.seeds) > 1 and (source, standings.metric) in standings.contests:
            of_seed = {seed: statistics.by_snr(member.scores[columns].reset_index(), SEED)
                       for seed, member in of.seeds.items()}  # fmt: skip
            table = tables.seeds(of_seed, source, standings.metric)
            found.append(table._replace(caption=f"{of.name}. {table.caption}"))
    return found


def systems(standings: Standings) -> pandas.DataFrame:
    """A row per contender, as CSV: its experiments, costs, and what its noise output is worth."""
    rows = [
        {
            "system": of.name,
            "experiments": " ".join(member.experiment.name for member in of.seeds.values()),
            "seeds": " ".join(str(seed) for seed in of.seeds),
            "bound": int(of.bound),
            **{key: of.cost(key) for key in COSTS},
            **{f"{WORTH}_{key}": value for key, value in standings.worth.loc[of.name].items()},
        }
        for of in standings.contenders
    ]
    return pandas.DataFrame(rows)


def quality_and_cost(standings: Standings) -> pandas.DataFrame:
    """What the figure shows: a row per source and line of a table, see ``figures``."""
    rows = []
    costs = {of.name: {key: of.cost(key) for key in COSTS} for of in standings.contenders}
    bounds = {of.name for of in standings.contenders if of.bound}
    for source in SOURCES:
        contest = standings.contests.get((source, standings.metric))
        for name, shown in _lines(standings) if contest else ():
            row = _cell(contest.means, ALL, name)
            kept = {key: row[key] for key in ("mean", "ci_low", "ci_high")}
            about = {"source": source, "system": shown, "line": name == MIX or name in bounds}
            rows.append(about | kept | costs.get(name, {}))
    return pandas.DataFrame(rows)


def long(standings: Standings, part: str) -> pandas.DataFrame:
    """``means`` or ``pairs`` of all contests in one table, as CSV."""
    found = []
    for (source, metric), contest in standings.contests.items():
        table = getattr(contest, part)
        found.append(table.assign(source=source, metric=metric))
    table = pandas.concat(found, ignore_index=True)
    first = ["source", "metric"]
    return table[[*first, *table.columns.drop(first)]]


def lead(standings: Standings) -> list[tuple]:
    """What came out, in a sentence per source, as a cell."""
    found = []
    for source in SOURCES:
        contest = standings.contests.get((source, standings.metric))
        if contest is None or contest.pairs.empty:
            continue
        overall = contest.means[contest.means["snr_db"] == ALL].set_index("system")
        first, second = overall.loc[standings.rivals, "mean"].nlargest(2).index
        gap = _difference(contest.pairs, ALL, first, second, standings.metric)
        places, about = tables.decimals(standings.metric), tables.about(standings.metric)
        unit = f" {about.unit}" if about.unit else ""
        sure = "" if overall["best"][first] else "; the test does not tell them apart"
        found.append((
            f"{source.capitalize()}: {first} has the highest mean {about.label}, ",
            Number(overall["mean"][first], places), f"{unit}: ",
            *(part for part in gap if part != MARK), f"{unit} over {second}{sure}.",
        ))  # fmt: skip
    return found


def notes(standings: Standings) -> list[str]:
    """What has to be known to read the tables."""
    contest = next(iter(standings.contests.values()))
    said = [
        f"{MARK.strip()} marks the best of a column if it is significantly better than the second,"
        f" and every significant difference: p < {significance.ALPHA} in a two-sided Wilcoxon"
        " signed-rank test on the means of groups, corrected after Holm over all pairs and columns"
        " of the table. What is not marked may be chance.",
        *tables.interval_notes(contest.means),
        "Differences are paired: both systems have the same examples and the same draws of groups."
        " So a difference can be significant though the intervals of the two means overlap.",
        "A mean is over the examples for which the system has a value, as in its own report (n in"
        " means.csv). Tests and differences use the examples for which every system has a value."
        " A system without any value in a metric has an empty cell there.",
        "Noise over residual: SI-SDR of the noise estimate minus SI-SDR of the residual, which is"
        " the mixture minus the voice estimate at its best scale. Above 0 the noise output earns"
        " its place; if the interval includes 0, the question is open. Read it beside the noise's"
        " own score: if the voice estimate is still the whole mixture, the residual is empty, and"
        " any noise output is better.",
        "MAC: multiply-accumulate operations per second of audio. Real-time factor: seconds of"
        " computing per second of audio on one thread. Audio seen: seconds of audio in training,"
        " over all epochs.",
    ]
    if len(standings.rivals) == 1:
        said.insert(0, f"{standings.rivals[0]} is the only system here: there is nothing to test.")
    if len(standings.rivals) < len(standings.contenders):
        said.append("A bound is given the references. It shows the most that its kind of mask can"
                    " reach, and takes no part in the tests.")  # fmt: skip
    if any(len(of.seeds) > 1 for of in standings.contenders):
        said.append("If a system was trained from several seeds, its score of an example is their"
                    " mean. The intervals do not include how much the seeds differ.")  # fmt: skip
    return said


def _lines(standings: Standings) -> list[tuple[str, str]]:
    """(name, what it is called) of every line of a table."""
    return [(MIX, MIX), *((of.name, title(of)) for of in standings.contenders)]


def _heads(levels: list[str]) -> list[str]:
    return [level if level == ALL else f"{level} dB" for level in levels]


def _cell(table: pandas.DataFrame, level: str, name: str) -> dict:
    found = table[(table["snr_db"] == level) & (table["system"] == name)]
    return found.iloc[0].to_dict()


def _mark(row: dict, metric: str) -> tuple:
    return (Number(row["mean"], tables.decimals(metric)), *([MARK] if row["best"] else []))


def _all_cell(contest: significance.Contest, name: str, metric: str) -> tuple:
    """The mean over all SNRs with its interval."""
    row, places = _cell(contest.means, ALL, name), tables.decimals(metric)
    mean = _interval(row["mean"], row["ci_low"], row["ci_high"], places)
    return (*mean, *([MARK] if row["best"] else []))


def _interval(mean: float, low: float, high: float, places: int, signed: bool = False) -> tuple:
    """A mean with its interval, where there is one (two groups or more)."""
    ends = (" ", *tables.interval(low, high, places)) if np.isfinite(low) else ()
    return (Number(mean, places, signed), *ends)


def _difference(pairs: pandas.DataFrame, level: str, a: str, b: str, metric: str) -> tuple:
    """The mean of a minus b with its interval; marked where it is significant."""
    here = pairs[(pairs["snr_db"] == level) & pairs["a"].isin((a, b)) & pairs["b"].isin((a, b))]
    row, places = here.iloc[0], tables.decimals(metric)
    mean, low, high = row["difference"], row["ci_low"], row["ci_high"]
    if row["a"] != a:
        mean, low, high = -mean, -high, -low
    ahead = a if mean > 0 else b
    sure = [MARK] if row["p_holm"] < significance.ALPHA and row["favours"] == ahead else []
    return (*_interval(mean, low, high, places, signed=True), *sure)


def _size(contest: significance.Contest) -> str:
    """How many examples a table is of, and where it can say nothing."""
    overall = contest.means[contest.means["snr_db"] == ALL].loc[lambda rows: rows["n"].idxmax()]
    many = "s" if overall["n_groups"] > 1 else ""
    said = f", {overall['n']} examples in {overall['n_groups']} group{many}"
    if overall["n"] > contest.common:
        said += f" ({contest.common} that all systems have)"
    few = significance.undecidable(contest.pairs)
    if few:
        levels = list(dict.fromkeys(contest.means["snr_db"]))
        where = {tuple(levels): "", tuple(levels[:-1]): " at any one SNR"}
        listed = f" at {', '.join(_heads(few))}"
        said += f"; too few groups to tell any two apart{where.get(tuple(few), listed)}"
    return said

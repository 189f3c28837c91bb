"""Scores of single examples summed up per SNR, and which examples to listen to.

``by_snr`` is the table behind every other: n, mean, standard deviation, median, MAD and a 95 %
interval of the mean for each SNR level, source and metric.

The interval is a bootstrap over groups: examples of one recording of noise are not independent,
so whole groups are drawn, with replacement. It is the expanded percentile interval (Hesterberg
2015, "What teachers should know about the bootstrap", The American Statistician 69:371-386): the
percentiles of the resampled means, taken at levels that undo the narrowness of the plain
percentile interval with few groups, which is what test sets have. BCa corrects bias and skewness,
of which a mean has little, and leaves that narrowness.
"""

import itertools
import warnings
from typing import NamedTuple

import numpy as np
import pandas
from scipy import special

from local import SOURCES
from local.base.errors import UserError
from local.scoring import score_table

ALL = "all"
MAX_LEVELS = 12  # more distinct SNRs than this are continuous, and fall into bins
MAX_BINS = 8
CONFIDENCE = 0.95
RESAMPLES = 10_000  # leaves the ends of an interval uncertain by 3 % of its half-width
CHUNK = 500  # resamples held in memory at once
ROLES = ("worst", "median", "best")
SAMPLE = "sample"


class Example(NamedTuple):
    """An example worth hearing, its SNR level, and why: one of ROLES, or SAMPLE."""

    id: str
    level: str
    role: str


def levels(snr_db: pandas.Series) -> tuple[pandas.Series, list[str]]:
    """The SNR level of each example, as text.

    Up to MAX_LEVELS distinct SNRs of at most one decimal are levels as they stand (``-5``). Others,
    which are measured and not chosen, fall into bins of a round width (``-5 to 0``) that hold their
    lower edge, the last one both.

    Returns:
        labels, indexed as ``snr_db``; and the levels that occur, ascending.
    """
    snr = np.round(snr_db.to_numpy(float), 9)  # names of files hold 1.4000000000000001, too
    distinct = np.unique(snr)
    if len(distinct) <= MAX_LEVELS and np.all(distinct == np.round(distinct, 1)):
        labels = pandas.Series(list(map(_plain, snr)), index=snr_db.index)
        return labels, [_plain(value) for value in distinct]
    low, high = distinct[0], distinct[-1]
    span = high - low or 1.0
    power = 10.0 ** np.floor(np.log10(span / MAX_BINS))
    width = next(w for w in power * np.array([1, 2, 5, 10, 20]) if span / w <= MAX_BINS - 1)
    first, last = np.floor(low / width), np.ceil(high / width)
    edges = np.round(np.arange(first, last + 1) * width, 10)
    names = [f"{_plain(a)} to {_plain(b)}" for a, b in itertools.pairwise(edges)]
    which = np.clip(np.searchsorted(edges, snr, side="right") - 1, 0, len(names) - 1)
    labels = pandas.Series([names[k] for k in which], index=snr_db.index)
    return labels, [names[k] for k in np.unique(which)]


def binned(table: pandas.DataFrame) -> bool:
    """Whether the levels of a table of ``by_snr`` are bins."""
    return any(" to " in level for level in level_names(table))


def level_names(table: pandas.DataFrame) -> list[str]:
    """The SNR levels of a table of ``by_snr``, ascending, without ALL."""
    return [level for level in dict.fromkeys(table["snr_db"]) if level != ALL]


def by_snr(scores: pandas.DataFrame, seed: int = 0) -> pandas.DataFrame:
    """Statistics of every metric at every SNR level and over all.

    A score that is NaN or infinite is a failed one. Columns that hold nothing for a source and
    did not fail there (PESQ of a noise) are left out.

    Args:
        scores: rows of scores.csv.
        seed: of the bootstrap.

    Returns:
        long table: snr_db (a level, a bin, or ALL), source, metric (a column of ``scores``),
        n (scores), n_groups (groups that they are of), n_failed, mean, std (of the sample),
        median, mad (median absolute deviation from the median, unscaled), ci_low, ci_high
        (95 % interval of the mean; NaN with one group).
    """
    labels, order = levels(scores["snr_db"])
    tables = []
    for level in (*order, ALL):
        for source in SOURCES:
            of_source = scores["source"] == source
            columns = _applicable(scores[of_source])
            part = scores[of_source & ((labels == level) | (level == ALL))]
            if len(part) and columns:
                table = describe(part[columns], part["group"], seed)
                table.insert(0, "source", source)
                table.insert(0, "snr_db", level)
                tables.append(table)
    if not tables:
        raise UserError("the scores hold no metric; run stage 2 again")
    return pandas.concat(tables, ignore_index=True)


def interval(values, groups, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of means by a bootstrap over groups, all columns by the same draws.

    Args:
        values: (example, column); NaN is left out.
        groups: (example,) names; examples of one group are drawn together.
        seed: of the draws.

    Returns:
        low, high: (column,); NaN where fewer than two groups have values.
    """
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    values = np.asarray(values, float).reshape(len(index), -1)
    given = ~np.isnan(values)
    sums, counts = np.zeros((2, len(names), values.shape[1]))
    np.add.at(sums, index, np.where(given, values, 0.0))
    np.add.at(counts, index, given)
    low, high = np.full((2, values.shape[1]), np.nan)
    # only groups that have a value can be drawn, and they differ where scores failed
    for present in np.unique(counts.T > 0, axis=0):
        columns = ((counts.T > 0) == present).all(1)
        if present.sum() > 1:
            part = np.ix_(present, columns)
            means = _resampled_means(sums[part], counts[part], seed)
            tail = _tail(present.sum())
            low[columns], high[columns] = np.quantile(means, (tail, 1 - tail), axis=0)
    return low, high


def _resampled_means(sums: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Means over examples of RESAMPLES draws of groups: (group, column) -> (draw, column)."""
    rng, size = np.random.default_rng(seed), len(sums)
    means = []
    for _ in range(RESAMPLES // CHUNK):
        draws = rng.integers(size, size=(CHUNK, size)) + size * np.arange(CHUNK)[:, None]
        times = np.bincount(draws.ravel(), minlength=CHUNK * size).reshape(CHUNK, size)
        times = times.astype(float)
        means.append((times @ sums) / (times @ counts))
    return np.concatenate(means)


def _tail(size: int) -> float:
    """The share below an expanded percentile interval of the mean of ``size`` groups.

    0.025, were the groups many; less for few, as their spread is divided by ``size`` in the
    bootstrap, not by ``size - 1``, and is itself uncertain (normal instead of Student's t).
    """
    t = special.stdtrit(size - 1, (1 + CONFIDENCE) / 2)
    return float(special.ndtr(-t * np.sqrt(size / (size - 1))))


def describe(values: pandas.DataFrame, groups: pandas.Series, seed: int = 0) -> pandas.DataFrame:
    """Statistics of every column over the examples that have a value in it.

    All that winnow says of the scores of one system comes from here.

    Args:
        values: (example, column); what is NaN or infinite is a failed score.
        groups: of each example.
        seed: of the bootstrap.

    Returns:
        a row per column: metric (its name), then what ``by_snr`` has.
    """
    values = values.where(np.isfinite(values))
    low, high = interval(values, groups, seed)
    median = values.median()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without any value
        table = pandas.DataFrame({
            "n": values.count(),
            "n_groups": values.notna().groupby(groups.to_numpy()).any().sum(),
            "n_failed": values.isna().sum(),
            "mean": values.mean(),
            "std": values.std(ddof=1),
            "median": median,
            "mad": (values - median).abs().median(),
            "ci_low": low,
            "ci_high": high,
        })  # fmt: skip
    return table.rename_axis("metric").reset_index()


def _applicable(scores: pandas.DataFrame) -> list[str]:
    """Columns that say something of a source: a value somewhere, or a failure with its reason."""
    failed = {score_table.base(name) for _, name, _ in score_table.reasons(scores)}
    return [
        name
        for name in score_table.metric_columns(scores)
        if np.isfinite(scores[name]).any() or score_table.base(name) in failed
    ]


def ranking(scores: pandas.DataFrame) -> pandas.Series:
    """What examples are ranked by: the improvement of the voice in the headline metric, by id.

    Within a level that is the order of the output, too; over all levels the output would only
    say how noisy the mixture was.
    """
    name = score_table.headline(score_table.metric_columns(scores)) + score_table.IMPROVEMENT
    values = scores[scores["source"] == SOURCES[0]].set_index("id")[name]
    return values.where(np.isfinite(values))


def extremes(rank: pandas.Series) -> dict[str, str]:
    """The ids of the worst, the median (lower of the two middle ones) and the best example.

    Args:
        rank: a value per id, NaN where there is none.

    Returns:
        role -> id, in the order of ROLES, without those that would name an id again; empty
        where no example has a value.
    """
    ids = rank.dropna().sort_values(kind="stable").index
    if not len(ids):
        return {}
    places = {"worst": 0, "best": len(ids) - 1, "median": (len(ids) - 1) // 2}
    found: dict[str, str] = {}
    for role, place in places.items():
        if ids[place] not in found.values():
            found[role] = ids[place]
    return {role: found[role] for role in ROLES if role in found}


def pick_examples(
    rank: pandas.Series, labels: pandas.Series, per_level: int, seed: int = 0
) -> list[Example]:
    """Examples to listen to: of each level the worst, the median, the best and a seeded sample.

    An example without a value (its score failed) can be in the sample.

    Args:
        rank: a value per id, such as ``ranking`` gives.
        labels: level per id, ascending levels not needed; the order of ids is kept.
        per_level: how many of each level: the first of ROLES, then the sample.
        seed: of the sample.
    """
    picked = []
    for level in dict.fromkeys(labels):
        ids = labels.index[labels == level]
        chosen = list(extremes(rank.reindex(ids)).items())[:per_level]
        rest = [name for name in ids if name not in dict(chosen).values()]
        rng = np.random.default_rng(seed)
        sample = rng.permutation(len(rest))[: max(0, per_level - len(chosen))]
        chosen += [(SAMPLE, rest[k]) for k in sorted(sample)]
        picked += [Example(name, level, role) for role, name in chosen]
    return picked


def by_seed(tables: dict[int, pandas.DataFrame], source: str, metric: str) -> pandas.DataFrame:
    """Means of one metric for trainings that differ in their seed only.

    Args:
        tables: seed -> table of ``by_snr``, all of the same test set.
        source, metric: which rows of them.

    Returns:
        rows: levels and ALL; columns: one per seed, then ``mean`` and ``std`` (of the sample)
        over the seeds.
    """
    means = {}
    for seed, table in sorted(tables.items()):
        rows = table[(table["source"] == source) & (table["metric"] == metric)]
        means[seed] = rows.set_index("snr_db")["mean"]
    # a seed that was not scored in this metric has no levels, and the union would be sorted as text
    table = pandas.DataFrame(means, index=next(iter(tables.values()))["snr_db"].unique())
    seeds = table.columns
    return table.assign(mean=table[seeds].mean(axis=1), std=table[seeds].std(axis=1, ddof=1))


def _plain(value: float) -> str:
    """A number in dB as one would write it: ``-5``, ``2.5``, never ``-0``."""
    return f"{value + 0.0:.10g}"

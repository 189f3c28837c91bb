"""Which of several systems is better on the same examples, and how certain that is.

A system's mean is over its own examples, as in its report. What is tested are differences on one
and the same example, so only those count there that every system has a value for; how hard an
example is does not count. Examples of one group (one recording of noise) are not independent: the
test sees one mean difference per group, the bootstrap draws whole groups.

The test is Wilcoxon's signed-rank test (1945, "Individual comparisons by ranking methods",
Biometrics Bulletin 1:80-83), two-sided, groups without a difference left out; exact up to 50
groups without ties and up to 13 with. All pairs of systems at all SNR levels of a table are one
family, corrected after Holm (1979, "A simple sequentially rejective multiple test procedure",
Scandinavian Journal of Statistics 6:65-70): which two systems come first is only known after the
data were seen, and a table is read as a whole.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas
from scipy import stats

from local.reporting import statistics
from local.reporting.statistics import ALL

ALPHA = 0.05  # probability of one or more wrong marks in a table of systems that do not differ
DECIMALS = 9  # differences smaller than this are those of arithmetic: none


class Contest(NamedTuple):
    """Systems compared in one metric of one source.

    Attributes:
        means: a row per snr_db (level or ALL) and system: n (scores), n_groups (that they are of),
            mean, ci_low, ci_high (95 % interval of the mean), best (whether it is marked so).
        pairs: a row per snr_db and pair of rivals: a, b, n, n_groups, difference (mean of a minus
            b), ci_low, ci_high, p, favours (the one that the test's ranks speak for), p_holm;
            none at a level without an example in common.
        common: examples with a value for every system, the only ones that ``pairs`` are of.
    """

    means: pandas.DataFrame
    pairs: pandas.DataFrame
    common: int


def contest(
    values: pandas.DataFrame,
    groups: pandas.Series,
    labels: pandas.Series,
    rivals: list[str],
    beside: Sequence[str] = (),
    seed: int = 0,
) -> Contest:
    """Compare systems at every SNR level and over all.

    Args:
        values: (example, system) scores, the higher the better.
        groups, labels: group and SNR level of each example; labels in the order of the table.
        rivals: the systems that may be best; others (bounds) have means only.
        beside: of these, those whose values may be missing where the others have theirs (the
            unprocessed mixture): an example is common without them.
        seed: of the bootstrap.

    Raises:
        ValueError: no example has a value for every system.
    """
    values = values.where(np.isfinite(values))
    whole = values.drop(columns=[*beside]).notna().all(axis=1)
    if not whole.any():
        raise ValueError("no example with a value for every system")
    means, pairs = [], []
    for level in (*dict.fromkeys(labels), ALL):
        here = (labels == level) | (level == ALL)
        means.append(_means(values[here], groups[here], seed).assign(snr_db=level))
        shared = here & whole
        if shared.any():
            found = _pairs(values.loc[shared, rivals], groups[shared], seed)
            pairs.append(found.assign(snr_db=level))
    means = pandas.concat(means, ignore_index=True)
    pairs = pandas.concat(pairs, ignore_index=True)
    pairs["p_holm"] = holm(pairs["p"].to_numpy())
    marked = {(level, best(means[means["snr_db"] == level], part))
              for level, part in pairs.groupby("snr_db")}  # fmt: skip
    cells = zip(means["snr_db"], means["system"], strict=True)
    means["best"] = [cell in marked for cell in cells]
    return Contest(_level_first(means), _level_first(pairs), int(whole.sum()))


def signed_rank(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that differences (group,) lie around 0.

    1 where no group differs, or there is none.
    """
    differences = np.round(differences, DECIMALS)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """P values (test,) corrected after Holm, in the same order."""
    order = np.argsort(p, kind="stable")
    times = len(p) - np.arange(len(p))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * times))
    return corrected


def undecidable(pairs: pandas.DataFrame) -> list[str]:
    """SNR levels with too few groups for any difference to be significant.

    All of n groups on one side give p = 2^(1 - n), the least that the test can reach; whatever
    Holm's correction of those leaves above ALPHA is out of reach.
    """
    reachable = holm(np.minimum(1.0, 2.0 ** (1 - pairs["n_groups"].to_numpy(float))))
    return list(dict.fromkeys(pairs["snr_db"][reachable >= ALPHA]))


def best(means: pandas.DataFrame, pairs: pandas.DataFrame) -> str | None:
    """The best of the rivals at one level, if the test says that it differs from the runner-up.

    Args:
        means, pairs: of a Contest, the rows of one level.
    """
    rivals = set(pairs["a"]) | set(pairs["b"])
    ranked = means[means["system"].isin(rivals)].sort_values("mean", ascending=False)
    first, second = ranked["system"].iloc[:2]
    row = pairs[pairs["a"].isin((first, second)) & pairs["b"].isin((first, second))].iloc[0]
    return first if row["p_holm"] < ALPHA and row["favours"] == first else None


def _level_first(table: pandas.DataFrame) -> pandas.DataFrame:
    return table[["snr_db", *table.columns.drop("snr_db")]]


def _means(values: pandas.DataFrame, groups: pandas.Series, seed: int) -> pandas.DataFrame:
    table = statistics.describe(values, groups, seed).rename(columns={"metric": "system"})
    return table[["system", "n", "n_groups", "mean", "ci_low", "ci_high"]]


def _pairs(values: pandas.DataFrame, groups: pandas.Series, seed: int) -> pandas.DataFrame:
    couples = list(itertools.combinations(values.columns, 2))
    table = pandas.DataFrame(couples, columns=["a", "b"])
    ahead = values[table["a"]].to_numpy() - values[table["b"]].to_numpy()
    by_group = pandas.DataFrame(ahead).groupby(groups.to_numpy()).mean().to_numpy()
    low, high = statistics.interval(ahead, groups, seed)
    favoured = [_rank_sum(column) > 0 for column in by_group.T]
    return table.assign(
        n=len(values),
        n_groups=len(by_group),
        difference=ahead.mean(axis=0),
        ci_low=low,
        ci_high=high,
        p=[signed_rank(column) for column in by_group.T],
        favours=table["a"].where(favoured, table["b"]),
    )


def _rank_sum(differences: np.ndarray) -> float:
    """Ranks of the positive differences minus those of the negative: the direction of the test."""
    differences = np.round(differences, DECIMALS)
    return float(np.sign(differences) @ stats.rankdata(np.abs(differences)))

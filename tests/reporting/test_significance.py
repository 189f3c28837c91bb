"""Paired comparisons: the test and its correction by hand, and systems better by construction."""

import itertools

import numpy as np
import pandas
import pytest
from scipy import stats

from local.reporting import significance, statistics
from local.reporting.statistics import ALL

LEVELS = ("-5", "0", "5")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)


def simulate(offsets, groups=30, noise=1.0, seed=0):
    """Scores (example, system): an example's difficulty, a group's taste, ``offsets`` and noise."""
    rng = np.random.default_rng(seed)
    names = [f"{group}_{level}" for level in LEVELS for group in range(groups)]
    group = pandas.Series([name.partition("_")[0] for name in names], index=names)
    level = pandas.Series([name.partition("_")[2] for name in names], index=names)
    difficulty = 10 * rng.standard_normal(len(names))
    values = {}
    for system, offset in offsets.items():
        taste = noise * rng.standard_normal(groups)[group.astype(int)]
        values[system] = difficulty + taste + offset + noise * rng.standard_normal(len(names))
    return pandas.DataFrame(values, index=names), group, level


def marked(contest):
    rows = contest.means[contest.means["best"]]
    return dict(zip(rows["snr_db"], rows["system"], strict=True))


def test_better_by_construction_is_marked_everywhere():
    contest = significance.contest(*simulate({"a": 0.0, "b": 2.0, "c": -1.0}), ["a", "b", "c"])
    assert marked(contest) == dict.fromkeys((*LEVELS, ALL), "b")
    assert significance.undecidable(contest.pairs) == []


def test_differences_are_paired():
    """The spread of difficulty (10 dB) hides 2 dB in the means' intervals, not in the pairs'."""
    contest = significance.contest(*simulate({"a": 0.0, "b": 2.0}), ["a", "b"])
    row = contest.pairs[contest.pairs["snr_db"] == ALL].iloc[0]
    means = contest.means[contest.means["snr_db"] == ALL]
    assert row["difference"] == pytest.approx(means["mean"].iloc[0] - means["mean"].iloc[1])
    assert row["ci_low"] < row["difference"] < row["ci_high"] < 0
    assert (means["ci_high"] - means["ci_low"]).min() > 2 * (row["ci_high"] - row["ci_low"])
    assert row["favours"] == "b"


def test_no_difference_is_rarely_marked():
    """Five equal systems, 60 data sets: without Holm many a table would hold a wrong mark."""
    offsets = dict.fromkeys("abcde", 0.0)
    tables = [simulate(offsets, groups=12, seed=seed) for seed in range(60)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
        contests = [significance.contest(*table, list(offsets)) for table in tables]
    most = stats.binom.ppf(0.999, len(tables), significance.ALPHA)
    assert sum((contest.pairs["p"] < significance.ALPHA).any() for contest in contests) > 2 * most
    assert sum((contest.pairs["p_holm"] < significance.ALPHA).any() for contest in contests) <= most
    assert sum(bool(marked(contest)) for contest in contests) <= most


def test_groups_count_once():
    """Thirty examples of three recordings are three differences, not thirty."""
    values, groups, labels = simulate({"a": 0.0, "b": 2.0}, noise=0.1)
    few = (groups.astype(int) % 3).astype(str)
    contest = significance.contest(values, few, labels, ["a", "b"])
    assert set(contest.pairs["n_groups"]) == {3}
    assert set(contest.pairs["p"]) == {0.25}
    assert marked(contest) == {}
    assert significance.undecidable(contest.pairs) == [*LEVELS, ALL]


def test_levels_with_few_groups_are_named():
    values, groups, labels = simulate({"a": 0.0, "b": 2.0}, groups=10, noise=0.3)
    keep = (labels != "5") | (groups.astype(int) < 4)
    contest = significance.contest(values[keep], groups[keep], labels[keep], ["a", "b"])
    assert significance.undecidable(contest.pairs) == ["5"]
    assert set(marked(contest)) == {"-5", "0", ALL}


def test_identical_systems():
    values, groups, labels = simulate({"a": 0.0})
    values["b"] = values["a"] + 1e-13
    contest = significance.contest(values, groups, labels, ["a", "b"])
    assert set(contest.pairs["p_holm"]) == {1.0}
    assert marked(contest) == {}


def test_a_runner_up_as_good_takes_the_mark_away():
    values, groups, labels = simulate({"a": 0.0, "b": 2.0})
    values["c"] = values["b"]
    contest = significance.contest(values, groups, labels, ["a", "b", "c"])
    assert marked(contest) == {}
    both = contest.pairs.set_index(["snr_db", "a", "b"])["p_holm"]
    assert both[ALL, "a", "b"] < 0.001


def test_a_bound_has_means_and_is_no_rival():
    contest = significance.contest(*simulate({"a": 0.0, "b": 2.0, "oracle": 9.0}), ["a", "b"])
    assert set(marked(contest).values()) == {"b"}
    assert set(contest.pairs["a"]) | set(contest.pairs["b"]) == {"a", "b"}
    assert set(contest.means["system"]) == {"a", "b", "oracle"}


def test_one_system_is_no_contest():
    contest = significance.contest(*simulate({"a": 0.0}), ["a"])
    assert len(contest.means) == len(LEVELS) + 1
    assert contest.pairs.empty
    assert marked(contest) == {}
    assert significance.undecidable(contest.pairs) == []


def test_one_group():
    contest = significance.contest(*simulate({"a": 0.0, "b": 2.0}, groups=1), ["a", "b"])
    assert set(contest.pairs["p"]) == {1.0}
    assert contest.pairs[["ci_low", "ci_high"]].isna().all(axis=None)
    assert marked(contest) == {}


def test_means_are_of_own_examples_and_pairs_of_common_ones():
    values, groups, labels = simulate({"a": 0.0, "b": 2.0})
    values.iloc[0, 0], values.iloc[1, 1] = np.nan, -np.inf
    contest = significance.contest(values, groups, labels, ["a", "b"])
    assert contest.common == len(values) - 2
    rows = contest.means[contest.means["snr_db"] == ALL]
    own = [values["a"].iloc[1:].mean(), values["b"].drop(index=values.index[1]).mean()]
    assert list(rows["mean"]) == pytest.approx(own)
    assert set(rows["n"]) == {len(values) - 1}
    pair = contest.pairs[contest.pairs["snr_db"] == ALL].iloc[0]
    assert pair["difference"] == pytest.approx((values["a"] - values["b"]).iloc[2:].mean())
    assert pair["n"] == len(values) - 2
    with pytest.raises(ValueError, match="no example"):
        significance.contest(values.assign(c=np.nan), groups, labels, ["a", "b", "c"])


def test_what_stands_beside_leaves_no_example_out():
    values, groups, labels = simulate({"a": 0.0, "b": 2.0})
    values["mixture"] = np.inf
    values.iloc[:2, 2] = 5.0
    contest = significance.contest(values, groups, labels, ["a", "b"], ["mixture"])
    assert contest.common == len(values)
    rows = contest.means[contest.means["snr_db"] == ALL].set_index("system")
    assert dict(rows["n"]) == {"a": len(values), "b": len(values), "mixture": 2}
    assert rows["n_groups"]["mixture"] == 2
    assert rows["mean"]["mixture"] == 5.0
    assert contest.means[contest.means["snr_db"] == "5"]["mean"].isna().sum() == 1


def test_a_level_without_a_common_example_has_means_and_no_pairs():
    values, groups, labels = simulate({"a": 0.0, "b": 2.0})
    half = groups.astype(int) % 2 == 0
    values.loc[(labels == "0") & half, "a"] = np.nan
    values.loc[(labels == "0") & ~half, "b"] = np.nan
    contest = significance.contest(values, groups, labels, ["a", "b"])
    assert list(contest.pairs["snr_db"]) == ["-5", "5", ALL]
    assert list(contest.means[contest.means["snr_db"] == "0"]["n"]) == [15, 15]
    assert marked(contest) == dict.fromkeys(("-5", "5", ALL), "b")


def test_a_mark_needs_the_mean_and_the_test_to_agree():
    """One huge loss turns the mean against a system that wins in every other group."""
    values, groups, labels = simulate({"a": 0.0, "b": 1.0}, noise=0.01, groups=20)
    values.loc[[f"0_{level}" for level in LEVELS], "b"] -= 1000.0
    contest = significance.contest(values, groups, labels, ["a", "b"])
    row = contest.pairs.iloc[-1]
    assert row["p_holm"] < significance.ALPHA
    assert row["difference"] > 0
    assert row["favours"] == "b"
    assert marked(contest) == {}


def test_signed_rank_by_enumeration():
    """All sign patterns of a few differences, with ties and a zero, counted."""
    differences = np.array([0.5, -0.5, 1.0, 2.0, 3.0, 0.0, 4.0])
    rest = differences[differences != 0]
    ranks = stats.rankdata(np.abs(rest))
    center = ranks.sum() / 2
    found = ranks[rest > 0].sum()
    sums = [ranks[list(signs)].sum() for signs in itertools.product((False, True), repeat=6)]
    expected = np.mean([abs(value - center) >= abs(found - center) for value in sums])
    assert significance.signed_rank(differences) == pytest.approx(expected)


@pytest.mark.parametrize("differences", [[], [0.0], [0.0, 1e-12], [2.0]])
def test_nothing_to_rank(differences):
    assert significance.signed_rank(np.array(differences)) == 1.0


def test_holm_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert significance.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm(np.array([0.6, 0.5])) == pytest.approx([1.0, 1.0])
    assert significance.holm(np.array([])).shape == (0,)

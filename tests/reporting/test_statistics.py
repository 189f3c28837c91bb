"""Sums over examples: statistics by algebra, intervals by how often they hold a known mean."""

import numpy as np
import pandas
import pytest

from local.reporting import statistics
from local.scoring import score_table

NAN, INF = float("nan"), float("inf")


def table_of(values, source="voice", groups=None, snr=0.0):
    """Scores of one metric ``m`` of one source, from scratch."""
    count = len(values)
    return pandas.DataFrame({
        "id": [f"{i:04d}_0" for i in range(count)],
        "snr_db": np.broadcast_to(snr, count).astype(float),
        "group": groups if groups is not None else [f"g{i}" for i in range(count)],
        "source": source,
        "m": values,
        "m_mix": 0.0,
        "m_imp": values,
        "failed": "",
    })  # fmt: skip


def cell(table, metric="m", level=statistics.ALL, source="voice"):
    """The one row of a table of by_snr."""
    rows = table[(table["metric"] == metric) & (table["snr_db"] == level)]
    rows = rows[rows["source"] == source]
    assert len(rows) == 1
    return rows.iloc[0]


# levels


def test_levels_stand_as_they_are_written():
    snr = pandas.Series([10, -5, 0, -0.0, 2.5, 10])
    labels, names = statistics.levels(snr)
    assert names == ["-5", "0", "2.5", "10"]
    assert list(labels) == ["10", "-5", "0", "0", "2.5", "10"]


def test_levels_that_arithmetic_has_written_are_levels():
    snr = pandas.Series([0.1 + 0.2, 0.3, 7 * 0.2])  # mix_snr_0.30000000000000004.wav
    labels, names = statistics.levels(snr)
    assert names == ["0.3", "1.4"]
    assert list(labels) == ["0.3", "0.3", "1.4"]
    assert statistics.levels(snr[2:])[1] == ["1.4"]


@pytest.mark.parametrize(("low", "high"), [(-6, 16), (0, 1), (-5, 15), (0.3, 0.9), (-40, 40)])
def test_continuous_snrs_fall_into_bins_that_hold_them(low, high):
    snr = pandas.Series(np.append(np.random.default_rng(0).uniform(low, high, 200), [low, high]))
    labels, names = statistics.levels(snr)
    assert 3 <= len(names) <= statistics.MAX_BINS
    edges = [tuple(float(edge) for edge in name.split(" to ")) for name in names]
    assert edges == sorted(edges)
    assert len({round(b - a, 9) for a, b in edges}) == 1
    for value, label in zip(snr, labels, strict=True):
        a, b = edges[names.index(label)]
        assert a <= value < b or (value == b and label == names[-1])


def test_twelve_levels_are_levels_and_thirteen_are_bins():
    assert len(statistics.levels(pandas.Series(np.arange(12.0)))[1]) == 12
    assert statistics.levels(pandas.Series(np.arange(13.0)))[1][0] == "0 to 2"


def test_few_measured_snrs_are_in_bins_too():
    snr = pandas.Series([-1.234, 3.25, 11.0, -1.234])
    labels, names = statistics.levels(snr)
    assert names == ["-2 to 0", "2 to 4", "10 to 12"]
    assert list(labels) == ["-2 to 0", "2 to 4", "10 to 12", "-2 to 0"]
    assert statistics.levels(pandas.Series([13.3, -0.1]))[1] == ["-0.1", "13.3"]


def test_one_measured_snr_is_in_a_bin():
    labels, names = statistics.levels(pandas.Series([3.217, 3.217]))
    assert names == ["3.2 to 3.4"]
    assert list(labels) == names * 2


# statistics


def test_statistics_are_those_of_algebra():
    values = [1.0, 2.0, 4.0, 8.0, 100.0]
    row = cell(statistics.by_snr(table_of(values)))
    assert row["mean"] == pytest.approx(23)
    # squared deviations: 22² + 21² + 19² + 15² + 77² = 7440, over n - 1
    assert row["std"] == pytest.approx(np.sqrt(7440 / 4))
    assert row["median"] == 4
    assert row["mad"] == 3  # of |x - 4| = 3, 2, 0, 4, 96
    assert (row["n"], row["n_groups"], row["n_failed"]) == (5, 5, 0)


def test_what_has_no_finite_value_has_failed_and_is_left_out():
    row = cell(statistics.by_snr(table_of([1.0, NAN, 3.0, INF], groups=["a", "b", "a", "c"])))
    assert (row["n"], row["n_groups"], row["n_failed"]) == (2, 1, 2)
    assert row["mean"] == row["median"] == 2
    assert np.isnan(row["ci_low"])
    assert np.isnan(row["ci_high"])


def test_all_is_over_examples_not_over_levels():
    scores = table_of([0.0, 0.0, 0.0, 4.0], snr=[0, 0, 0, 5])
    table = statistics.by_snr(scores)
    assert cell(table)["mean"] == 1
    assert cell(table, level="5")["mean"] == 4
    assert statistics.level_names(table) == ["0", "5"]
    assert set(table["metric"]) == {"m", "m_mix", "m_imp"}


def test_a_metric_that_a_source_has_not_is_no_failure():
    scores = pandas.concat([table_of([1.0, 2.0]), table_of([NAN, NAN], source="noise")])
    table = statistics.by_snr(scores)
    noise = table[(table["source"] == "noise") & (table["metric"] == "m")]
    assert noise.empty
    scores.loc[scores["source"] == "noise", "failed"] = "m: silent reference"
    table = statistics.by_snr(scores)
    row = cell(table, source="noise")
    assert (row["n"], row["n_failed"]) == (0, 2)
    assert np.isnan(row["mean"])
    found = score_table.failures(scores).to_dict("records")
    assert found == [{"source": "noise", "metric": "m", "reason": "silent reference", "n": 2}]


def test_several_failures_in_a_row_are_told_apart():
    scores = table_of([NAN])
    scores["failed"] = "m: voice: silent; m_mix: too short"
    assert sorted(score_table.failures(scores)[["metric", "reason"]].itertuples(index=False)) == [
        ("m", "voice: silent"),
        ("m_mix", "too short"),
    ]


def test_what_is_infinite_by_definition_is_no_failure():
    scores = table_of([1.0, 2.0])
    why = "infinite, because the estimate has no error"
    scores["failed"] = f"sar_v4_mix: {why}; si_sar_mix: silent reference; sar_v4: {why}"
    found = score_table.failures(scores)[["metric", "reason", "n"]]
    assert sorted(found.itertuples(index=False, name=None)) == [
        ("sar_v4", why, 2), ("si_sar_mix", "silent reference", 2),
    ]  # fmt: skip
    said = f"si_sar_mix: silent reference; sar_v4: {why}"
    assert score_table.remark(scores["failed"].iloc[0]) == said


# intervals


COLUMNS = 800  # draws that a coverage is counted over


def coverage(groups, per_group, draw, seed=0, split=False, columns=COLUMNS):
    """How often an interval holds the mean, 0, of values that share something in a group."""
    rng = np.random.default_rng(seed)
    shared = draw(rng, (groups, 1, columns))
    values = (shared + rng.standard_normal((groups, per_group, columns))).reshape(-1, columns)
    names = np.arange(len(values)) if split else np.repeat(np.arange(groups), per_group)
    low, high = statistics.interval(values, names)
    return np.mean((low <= 0) & (high >= 0))


def normal(rng, shape):
    return rng.standard_normal(shape)


def skewed(rng, shape):
    return rng.exponential(size=shape) - 1


@pytest.mark.parametrize(
    ("groups", "draw", "least"),
    [(6, normal, 0.93), (20, normal, 0.94), (20, skewed, 0.92), (53, normal, 0.94)],
)
def test_intervals_hold_a_known_mean(groups, draw, least):
    share = coverage(groups, 3, draw)
    deviation = np.sqrt(0.95 * 0.05 / COLUMNS)
    assert least - 3 * deviation < share < 0.95 + 3 * deviation


def test_examples_of_a_group_are_not_independent():
    assert coverage(20, 8, normal, split=True) < 0.75
    assert coverage(20, 8, normal) > 0.92


def test_a_known_spread_gives_a_known_width():
    values = np.random.default_rng(1).standard_normal((400, 1))
    low, high = statistics.interval(values, np.arange(400))
    expected = 2 * 1.966 * values.std(ddof=1) / np.sqrt(400)  # Student's t with 399 degrees
    assert high - low == pytest.approx(expected, rel=0.03)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)


def test_groups_weigh_by_their_examples():
    # 1 example at 10, 9 at 0: resampled means lie between 0 and 10, the mean of all is 1
    values, groups = [[10.0]] + [[0.0]] * 9, ["a"] + ["b"] * 9
    low, high = statistics.interval(values, groups)
    assert (low[0], high[0]) == (0, 10)
    assert cell(statistics.by_snr(table_of([10.0] + [0.0] * 9, groups=groups)))["mean"] == 1


def test_constant_values_have_an_interval_without_width():
    low, high = statistics.interval(np.full((7, 2), 3.0), list("abcdefg"))
    np.testing.assert_allclose([low, high], 3.0)


@pytest.mark.parametrize("groups", [["a"] * 4, ["a", "a", "b", "b"]])
def test_fewer_than_two_groups_with_values_have_none(groups):
    values = np.array([[1.0], [2.0], [NAN], [NAN]])
    low, high = statistics.interval(values, groups)
    assert np.isnan([low, high]).all()


def test_columns_do_not_disturb_each_other():
    rng = np.random.default_rng(3)
    values = rng.standard_normal((30, 4))
    values[rng.random((30, 4)) < 0.3] = NAN
    values[:, 3] = NAN
    groups = np.repeat(np.arange(10), 3)
    low, high = statistics.interval(values, groups)
    for k in range(4):
        alone = statistics.interval(values[:, k], groups)
        np.testing.assert_allclose([low[k], high[k]], np.ravel(alone), rtol=1e-12)
    given = ~np.isnan(values[:, 0])
    without = statistics.interval(values[given, 0], groups[given])
    np.testing.assert_allclose(np.ravel(without), [low[0], high[0]], rtol=1e-12)


def test_intervals_are_seeded_and_keep_to_the_order_of_no_row():
    rng = np.random.default_rng(4)
    values, groups = rng.standard_normal((40, 1)), np.repeat(np.arange(8), 5)
    first = np.ravel(statistics.interval(values, groups, seed=1))
    np.testing.assert_array_equal(first, np.ravel(statistics.interval(values, groups, seed=1)))
    assert (first != np.ravel(statistics.interval(values, groups, seed=2))).all()
    order = rng.permutation(40)
    shuffled = np.ravel(statistics.interval(values[order], groups[order], seed=1))
    np.testing.assert_allclose(first, shuffled, rtol=1e-12)


# examples


def ranks(values, level="0"):
    ids = [f"e{i}" for i in range(len(values))]
    return pandas.Series(values, index=ids, dtype=float), pandas.Series(level, index=ids)


def test_worst_median_best_then_a_sample():
    rank, labels = ranks([5, 1, 4, 2, 3, 9, 0])
    picked = statistics.pick_examples(rank, labels, 5)
    assert [(e.role, e.id) for e in picked[:3]] == [
        ("worst", "e6"),
        ("median", "e4"),
        ("best", "e5"),
    ]
    sample = [e.id for e in picked[3:]]
    assert [e.role for e in picked[3:]] == ["sample"] * 2
    assert len({e.id for e in picked}) == 5
    assert picked == statistics.pick_examples(rank, labels, 5)
    others = [
        [e.id for e in statistics.pick_examples(rank, labels, 5, seed=s)[3:]] for s in range(9)
    ]
    assert any(other != sample for other in others)


@pytest.mark.parametrize(("number", "roles"), [(0, []), (1, ["worst"]), (2, ["worst", "median"])])
def test_fewer_examples_than_roles(number, roles):
    picked = statistics.pick_examples(*ranks([3, 1, 2]), number)
    assert [e.role for e in picked] == roles


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_example_is_picked_twice(count):
    picked = statistics.pick_examples(*ranks(range(count)), 5)
    assert sorted(e.id for e in picked) == [f"e{i}" for i in range(count)]


def test_a_failed_score_is_in_no_role_but_may_be_in_the_sample():
    picked = statistics.pick_examples(*ranks([NAN, 1, 2, 3, NAN]), 5)
    roles = {e.id: e.role for e in picked}
    assert roles == {"e1": "worst", "e2": "median", "e3": "best", "e0": "sample", "e4": "sample"}
    assert statistics.extremes(ranks([NAN, NAN])[0]) == {}


def test_a_level_is_picked_from_whatever_the_others_hold():
    rank, labels = ranks(np.arange(20.0))
    both = labels.copy()
    both[10:] = "5"
    alone = statistics.pick_examples(rank[:10], labels[:10], 5)
    assert statistics.pick_examples(rank, both, 5)[:5] == alone


def test_examples_are_ranked_by_the_improvement_of_the_voice():
    scores = pandas.concat([table_of([3.0, INF]), table_of([7.0, 8.0], source="noise")])
    rank = statistics.ranking(scores)
    assert rank.name == "m_imp"
    assert list(rank.index) == ["0000_0", "0001_0"]
    assert rank.iloc[0] == 3
    assert np.isnan(rank.iloc[1])
    assert score_table.headline(["m", "m_imp", "si_sdr", "si_sdr_imp"]) == "si_sdr"


# seeds


def test_seeds_are_shown_with_their_spread():
    tables = {seed: statistics.by_snr(table_of([float(seed), 2.0 * seed])) for seed in (2, 1, 6)}
    spread = statistics.by_seed(tables, "voice", "m_imp")
    assert list(spread.columns) == [1, 2, 6, "mean", "std"]
    assert list(spread.index) == ["0", statistics.ALL]
    row = spread.loc[statistics.ALL]
    assert list(row[[1, 2, 6]]) == [1.5, 3, 9]
    assert row["mean"] == 4.5
    assert row["std"] == pytest.approx(np.sqrt((3**2 + 1.5**2 + 4.5**2) / 2))


def test_a_seed_without_the_metric_leaves_the_levels_in_order():
    table = pandas.DataFrame({"snr_db": ["-5", "5", "10", "all"], "source": "voice"})
    tables = {0: table.assign(metric="m", mean=1.0), 1: table.assign(metric="n", mean=2.0)}
    spread = statistics.by_seed(tables, "voice", "m")
    assert list(spread.index) == ["-5", "5", "10", "all"]
    assert spread[1].isna().all()
    assert list(spread["mean"]) == [1.0] * 4

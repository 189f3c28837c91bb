"""Stage 4: what is marked, seeds as one system, scores that failed, and the page."""

import re
from pathlib import Path

import compared_systems
import numpy as np
import pandas
import pytest
import yaml
from compared_systems import ROWS, check_page, make_scored, run

from local import SOURCES, compare
from local.base.errors import UserError
from local.corpus import manifest
from local.reporting import contenders, figures, standings, statistics
from local.reporting.statistics import ALL
from local.scoring import score_table

DRAW = figures.quality_against_cost


@pytest.fixture(scope="module")
def garden(tmp_path_factory):
    return compared_systems.make_garden(tmp_path_factory.mktemp("compare"))


@pytest.fixture
def here(garden, tmp_path, monkeypatch):
    return compared_systems.enter(garden, tmp_path, monkeypatch)


def test_the_better_one_is_marked_and_the_page_is_whole(here, monkeypatch, capsys):
    monkeypatch.setattr(figures, "quality_against_cost", DRAW)
    monkeypatch.setattr(compare, "EXAMPLES", 1)
    make_scored("ant", 5.0)
    make_scored("bee", 7.0)
    make_scored("oracle", 15.0, needs_sources=True, parameters=0, macs_per_second=None)
    place = run(monkeypatch)
    assert place == Path("exp/garden/compare") / manifest.read("data/garden/test.csv").hash

    means = pandas.read_csv(place / "means.csv", dtype={"snr_db": str})
    overall = means[means["snr_db"] == ALL].set_index(["source", "metric", "system"])
    assert overall["mean"]["voice", "si_sdr", "bee"] == pytest.approx(12.0, abs=0.3)
    assert overall["mean"]["voice", "si_sdr", standings.MIX] == pytest.approx(5.0)
    assert list(overall.index[overall["best"]]) == [
        ("voice", "si_sdr", "bee"), ("voice", "stoi", "bee"), ("noise", "si_sdr", "bee"),
    ]  # fmt: skip
    assert not means[means["snr_db"] != ALL]["best"].any()  # six groups are too few
    pairs = pandas.read_csv(place / "differences.csv", dtype={"snr_db": str})
    assert set(zip(pairs["a"], pairs["b"], strict=True)) == {("ant", "bee")}
    of_all = pairs[pairs["snr_db"] == ALL].iloc[0]
    assert of_all["ci_low"] < -2 < of_all["ci_high"] < 0

    page = check_page(place)
    for value in overall["mean"].dropna():
        assert any(value == pytest.approx(number, rel=1e-5) for number in page.numbers)
    chosen = {label.rpartition(" of ")[2] for label in page.sounds}
    assert len(chosen) == 5 * compare.EXAMPLES
    for example in chosen:
        for who in ("reference", "ant", "bee", "oracle"):
            for source in SOURCES:
                assert f"{source}, {who} of {example}" in page.sounds
    about = yaml.safe_load((place / "compare.yml").read_text())
    assert set(about["experiments"]) == {"ant", "bee", "oracle"}
    assert about["provenance"]["commit"]

    summary = (place / "summary.md").read_text()
    printed = capsys.readouterr().out
    for text in (summary, printed):
        assert "oracle, a bound" in text
        assert re.search(r"bee .*\] \*", text)
        assert not re.search(r"(ant|oracle).*\] \*", text.partition("difference from")[0])
    assert (
        "30 examples in 15 groups; too few groups to tell any two apart at any one SNR" in printed
    )
    assert "1.23 M" in printed
    assert str(place / "index.html") in printed
    assert {path.name for path in place.iterdir()} == {
        "audio", "compare.yml", "differences.csv", "figures", "index.html", "means.csv",
        "summary.md", "systems.csv",
    }  # fmt: skip


def test_systems_that_do_not_differ_are_not_marked(here, monkeypatch):
    make_scored("ant")
    make_scored("bee")
    place = run(monkeypatch)
    assert not pandas.read_csv(place / "means.csv")["best"].any()
    assert "does not tell them apart" in (place / "summary.md").read_text()


def test_one_experiment_only(here, monkeypatch, capsys):
    monkeypatch.setattr(compare, "EXAMPLES", 1)
    make_scored("ant")
    place = run(monkeypatch, "--name", "garden")
    check_page(place)
    assert "ant is the only system here" in capsys.readouterr().out
    assert pandas.read_csv(place / "differences.csv").empty
    assert not pandas.read_csv(place / "means.csv")["best"].any()


def test_an_oracle_only(here, monkeypatch):
    make_scored("oracle", needs_sources=True)
    check_page(run(monkeypatch))


def test_seeds_of_one_recipe_are_one_system(here, monkeypatch, capsys):
    monkeypatch.setattr(compare, "EXAMPLES", 1)
    make_scored("ant_x", 5.0, seed=1)
    make_scored("ant_y", 6.0, seed=2)
    make_scored("ant_slow", 9.0, seed=3, conf={"optim": {"lr": 0.1}})
    place = run(monkeypatch)
    systems = pandas.read_csv(place / "systems.csv").set_index("system")
    assert dict(systems["experiments"]) == {"ant_slow": "ant_slow", "ant, 2 seeds": "ant_x ant_y"}
    assert systems["seeds"].astype(str)["ant, 2 seeds"] == "1 2"
    means = pandas.read_csv(place / "means.csv", dtype={"snr_db": str})
    cell = means[(means["system"] == "ant, 2 seeds") & (means["snr_db"] == ALL)]
    test = manifest.read("data/garden/test.csv")
    each = []
    for name in ("ant_x", "ant_y"):
        scores = score_table.read_scores(Path(f"exp/garden/{name}/scores/{test.hash}/scores.csv"))
        each.append(scores[scores["source"] == "voice"]["si_sdr"].mean())
    voice = cell[(cell["source"] == "voice") & (cell["metric"] == "si_sdr")]
    assert voice["mean"].item() == pytest.approx(np.mean(each), rel=1e-5)
    summary = (place / "summary.md").read_text()
    line = next(line for line in summary.partition("## Training seeds")[2].splitlines()
                if line.startswith("| all"))  # fmt: skip
    spread = [*each, np.mean(each), np.std(each, ddof=1)]
    assert line == f"| all | {' | '.join(f'{value:.2f}' for value in spread)} |"
    page = check_page(place)
    assert any("ant, 2 seeds" in label for label in page.sounds)


def test_seeds_of_two_settings_have_two_names(here, monkeypatch):
    for pace, lr in (("fast", 0.1), ("slow", 0.001)):
        for seed in (0, 1):
            make_scored(f"ant_s{seed}_{pace}", seed=seed, conf={"optim": {"lr": lr}})
    systems = pandas.read_csv(run(monkeypatch) / "systems.csv").set_index("system")
    assert dict(systems["experiments"]) == {
        "ant_s0_fast, 2 seeds": "ant_s0_fast ant_s1_fast",
        "ant_s0_slow, 2 seeds": "ant_s0_slow ant_s1_slow",
    }


def test_a_seed_without_any_score_is_shown_as_such(here, monkeypatch):
    def silent(table):
        lost = ("si_sdr", "si_sdr_imp", "stoi", "stoi_imp")
        return table.assign(**dict.fromkeys(lost, np.nan), failed="si_sdr: silent estimate")

    monkeypatch.setattr(compare, "EXAMPLES", 1)
    make_scored("ant_s0", seed=0)
    make_scored("ant_s1", seed=1, scores=silent)
    make_scored("bee")
    place = run(monkeypatch)
    summary = (place / "summary.md").read_text()
    line = next(line for line in summary.partition("## Training seeds")[2].splitlines()
                if line.startswith("| all"))  # fmt: skip
    assert re.fullmatch(r"\| all \| ([\d.]+) \| – \| \1 \| – \|", line)
    # examples are chosen by the scores of the other one
    assert (place / "index.html").read_text().count("worst at ") == 5


def test_names_of_seeds():
    names = contenders.common_name
    assert names(["lstm_tasnet-small", "lstm_tasnet-small_s1"]) == "lstm_tasnet-small"
    assert names(["unet_l1_a", "unet_l1_b"]) == "unet_l1"


def test_scores_that_failed(here, monkeypatch):
    monkeypatch.setattr(compare, "EXAMPLES", 1)

    def fail(table):
        table.loc[0, "si_sdr"] = np.nan
        table.loc[2, "si_sdr"] = np.inf
        return table

    def fail_all(table):
        return table.assign(stoi=np.nan, failed="stoi: too short")

    def fail_half(table, half):
        found = table["id"].isin(sorted(set(table["id"]))[half::2])
        return table.assign(snr=np.where(found, 5.0, np.nan), snr_mix=0.0, snr_imp=np.nan)

    def no_mixture(table):
        return table.assign(**{"si_sar": 5.0, "si_sar_mix": np.inf, "si_sar_imp": np.nan})

    make_scored("ant", scores=lambda table: fail_half(no_mixture(fail(table)), 0))
    make_scored("bee", 8.0, scores=lambda table: fail_half(no_mixture(fail_all(table)), 1))
    place = run(monkeypatch)
    means = pandas.read_csv(place / "means.csv", dtype={"snr_db": str})
    overall = means[means["snr_db"] == ALL].set_index(["metric", "source", "system"])
    counts = overall["n"]["si_sdr"]
    assert overall["n"]["si_sar", "voice", standings.MIX] == 0
    assert overall["mean"]["si_sar", "voice", "ant"] == 5.0
    assert counts["voice", "ant"] == ROWS - 2
    assert counts["voice", "bee"] == counts["noise", "ant"] == ROWS
    pairs = pandas.read_csv(place / "differences.csv", dtype={"snr_db": str})
    pairs = pairs[pairs["snr_db"] == ALL].set_index(["metric", "source"])
    assert pairs["n"]["si_sdr", "voice"] == ROWS - 2
    assert pairs["n"]["si_sdr", "noise"] == ROWS
    summary = (place / "summary.md").read_text()
    assert "30 examples in 15 groups (28 that all systems have)" in summary
    assert "SI-SDR (dB), difference from bee, 28 examples that all have" in summary
    assert counts["voice", standings.MIX] == ROWS
    text = (place / "index.html").read_text()
    assert "no example has a value for every system: voice SNR (dB), noise SNR (dB)." in text
    assert overall["n"]["stoi", "voice", "ant"] == ROWS
    assert overall["n"]["stoi", "voice", "bee"] == 0
    assert "STOI, difference" not in (place / "summary.md").read_text()
    assert "bee, voice: stoi: too short" in text
    check_page(place)


def test_failed_examples_give_the_same_means_in_report_and_comparison(here, monkeypatch):
    """Of each system, at every level: mean, interval and number, whatever fails elsewhere."""

    def fail(table, rows):
        table.loc[rows, "si_sdr"] = np.nan
        return table

    places = {
        "ant": make_scored("ant", scores=lambda table: fail(table, [0, 2, 4])),
        "bee": make_scored("bee", 8.0, scores=lambda table: fail(table, [2, 8, 11])),
        "fly": make_scored("fly", 6.0),
    }
    place = run(monkeypatch)
    keys, numbers = ["source", "metric", "snr_db"], ["n", "n_groups", "mean", "ci_low", "ci_high"]
    means = pandas.read_csv(place / "means.csv", dtype={"snr_db": str})
    for name, scored in places.items():
        reported = statistics.by_snr(score_table.read_scores(scored / "scores.csv"))
        compared = means[means["system"] == name].set_index(keys)[numbers]
        reported = reported.set_index(keys)[numbers].loc[compared.index]
        assert len(compared) == 3 * 6
        np.testing.assert_allclose(compared, reported, rtol=1e-5)
    own = means[
        means["snr_db"].eq(ALL) & means["source"].eq("voice") & means["metric"].eq("si_sdr")
    ]
    assert dict(zip(own["system"], own["n"], strict=True)) == {
        standings.MIX: ROWS, "bee": ROWS - 2, "fly": ROWS, "ant": ROWS - 3,
    }  # fmt: skip


def test_a_level_at_which_no_example_is_common(here, monkeypatch):
    """It has means and no difference."""

    def fail(table, half):
        lost = table["snr_db"].eq(table["snr_db"].min()) & (
            table["id"].rank(method="dense") % 2 == half
        )
        return table.assign(si_sdr=table["si_sdr"].mask(lost))

    make_scored("ant", scores=lambda table: fail(table, 0))
    make_scored("bee", 8.0, scores=lambda table: fail(table, 1))
    place = run(monkeypatch)
    means = pandas.read_csv(place / "means.csv", dtype={"snr_db": str})
    pairs = pandas.read_csv(place / "differences.csv", dtype={"snr_db": str})
    of = {name: table[table["metric"].eq("si_sdr") & table["source"].eq("voice")]
          for name, table in {"means": means, "pairs": pairs}.items()}  # fmt: skip
    assert len(of["means"]) == 3 * 6
    assert (of["means"]["n"] > 0).all()
    lowest = of["means"]["snr_db"].iloc[0]
    assert lowest not in set(of["pairs"]["snr_db"])
    assert len(of["pairs"]) == 5
    check_page(place)


def test_one_group(here, monkeypatch):
    for name in ("ant", "bee"):
        make_scored(name, scores=lambda table: table.assign(group="one"))
    place = run(monkeypatch)
    summary = (place / "summary.md").read_text()
    assert "30 examples in 1 group; too few groups" in summary
    assert "nan" not in summary
    assert "– –" not in summary
    assert not pandas.read_csv(place / "means.csv")["best"].any()


@pytest.mark.parametrize(("gain", "said"), [(5.0, "yes"), (-5.0, "no"), (0.0, "open")])
def test_whether_the_noise_output_earns_its_place(here, monkeypatch, gain, said):
    make_scored("ant", gain, noise=0.05)
    place = run(monkeypatch)
    row = pandas.read_csv(place / "systems.csv").iloc[0]
    assert row["si_sdr_vs_residual_mean"] == pytest.approx(gain / 10, abs=0.1)
    assert row["si_sdr_vs_residual_ci_low"] < row["si_sdr_vs_residual_ci_high"]
    line = next(line for line in (place / "summary.md").read_text().splitlines()
                if line.startswith("| ant |"))  # fmt: skip
    assert f"| {said} |" in line


def test_a_noise_output_without_a_residual(here, monkeypatch):
    """Where the voice estimate is the mixture, nothing is left over to compare with."""
    make_scored("mixture", scores=lambda table: table.assign(si_sdr_vs_residual=np.nan))
    place = run(monkeypatch)
    line = next(line for line in (place / "summary.md").read_text().splitlines()
                if line.startswith("| mixture |"))  # fmt: skip
    assert "| – | – | 1.23 M |" in line


def test_a_model_that_cannot_be_loaded_is_compared_but_not_heard(here, monkeypatch):
    monkeypatch.setattr(compare, "EXAMPLES", 1)
    make_scored("ant")
    make_scored("bee", model="broken")
    place = run(monkeypatch)
    page = check_page(place)
    assert not any(", bee of" in label for label in page.sounds)
    assert "bee cannot be heard: its recipe is gone" in (place / "index.html").read_text()


def test_a_failure_leaves_what_was_there(here, monkeypatch):
    make_scored("ant")
    place = run(monkeypatch)
    before = (place / "index.html").read_bytes()
    make_scored("bee")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "write_examples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch)
    assert (place / "index.html").read_bytes() == before
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_the_same_scores_give_the_same_tables(here, monkeypatch):
    monkeypatch.setattr(figures, "quality_against_cost", DRAW)
    make_scored("ant")
    make_scored("bee")
    files = ("means.csv", "differences.csv", "systems.csv", "figures/quality_against_cost.svg")
    place = run(monkeypatch)
    before = [(place / file).read_bytes() for file in files]
    assert [(run(monkeypatch) / file).read_bytes() for file in files] == before


def test_faults(here, monkeypatch):
    with pytest.raises(UserError, match=r"best_model\.pth: not there; stage 1"):
        run(monkeypatch)
    make_scored("ant", hash="0123456789ab")
    with pytest.raises(UserError, match=r"no experiment is scored on .*; ant: scored on another"):
        run(monkeypatch)
    make_scored("ant", where="meadow")
    with pytest.raises(UserError, match=r"add --name \(garden, meadow\)"):
        run(monkeypatch)
    with pytest.raises(UserError, match=r"data/meadow/test\.csv: not there; stage 0"):
        run(monkeypatch, "--name", "meadow")

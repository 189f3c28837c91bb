"""Stage 4: who takes part and who does not, what is marked, and the page."""

import errno
import html.parser
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pandas
import pytest
import scored_experiments
import yaml
from matplotlib.figure import Figure

from local import SOURCES, compare
from local.base import disk, experiment
from local.base.errors import UserError
from local.corpus import manifest
from local.reporting import contenders, figures, standings, statistics
from local.reporting.statistics import ALL
from local.scoring import metrics, score_table, seed_runs
from local.scoring.score_table import IMPROVEMENT, MIXTURE

ROWS = 30  # in 15 groups


class Gain(float):
    """A separator that multiplies the sources."""

    def to(self, device):
        return self


@pytest.fixture(scope="module")
def garden(tmp_path_factory):
    """A folder with a test manifest, ``data/garden/test.csv``."""
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        scored_experiments.make_manifest("garden", ROWS, 800)
    return folder


@pytest.fixture
def here(garden, tmp_path, monkeypatch):
    """The manifest's folder without experiments, the current directory.

    Models are stubs, and only tests of the page have examples and the figure: drawing is slow.
    """
    (tmp_path / "data").symlink_to(garden / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
    monkeypatch.setattr(compare, "EXAMPLES", 0)
    monkeypatch.setattr(figures, "DOTS", 20)
    monkeypatch.setattr(figures, "quality_against_cost", lambda *_: Figure())

    from local.model import separators, windows

    def load(path):
        text = Path(path).read_bytes().decode()
        if text.startswith("broken"):
            raise UserError("its recipe is gone")
        return Gain(text.split()[0])

    monkeypatch.setattr(separators, "load", load)
    monkeypatch.setattr(windows, "estimate", lambda gain, mix, rate, sources: gain * sources)
    return tmp_path


DRAW = figures.quality_against_cost


def make_scored(name, gain=5.0, seed=0, noise=0.3, model="0.5", where="garden", **changes):
    """An experiment whose estimates are ``gain`` dB better than the mixture, give or take.

    Args:
        changes: of scores.yml; and ``conf``, ``facts``, ``hash``, ``scores`` (a function of the
            table).
    """
    test = manifest.read(Path("data/garden/test.csv"))
    folder = experiment.EXPERIMENTS / where / name
    conf = {"seed": seed, "optim": {"lr": 0.001},
            "trainer": {"max_epochs": 5, "max_time": None}} | changes.pop("conf", {})  # fmt: skip
    facts = {
        "recipe": name.partition("_")[0], "preset": None, "seed": seed, "train_hash": "t",
        "valid_hash": "v", "command": ["python", "-m", "local.train"], "commit": "abc",
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "best_model.pth").write_text(f"{model} {name}")
    disk.write_yaml(folder / "conf.yml", conf)
    disk.write_yaml(folder / "provenance.yml", facts | changes.pop("facts", {}))
    place = folder / "scores" / changes.pop("hash", test.hash)
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    rows = []
    for row in test.rows.to_dict("records"):
        for source, sign in zip(SOURCES, (1, -1), strict=True):
            values = {"si_sdr": sign * row["snr_db"], "stoi": 0.8 if source == "voice" else np.nan}
            of = {"id": row["id"], "snr_db": row["snr_db"], "group": row["group"]}
            of["source"] = source
            for metric, value in values.items():
                step = (gain + noise * rng.standard_normal()) * (1 if metric == "si_sdr" else 0.01)
                of |= {metric: value + step, metric + MIXTURE: value, metric + IMPROVEMENT: step}
            over = gain / 10 + noise * rng.standard_normal() if source == "noise" else np.nan
            rows.append(of | {"si_sdr_vs_residual": over, "failed": ""})
    table = changes.pop("scores", lambda table: table)(pandas.DataFrame(rows))
    about = {
        "version": metrics.VERSION, "test_hash": test.hash, "engine": "fast",
        "model_sha256": _sha256(folder / "best_model.pth"), "metrics": ["si_sdr", "stoi"],
        "recipe": name, "parameters": 1_230_000, "macs_per_second": 2_500_000_000,
        "real_time_factor": 0.05, "audio_seconds_seen": 7200.0, "seed": seed,
        "provenance": {"commit": "def"},
    } | changes  # fmt: skip
    scored_experiments.write_scores(place / "scores.csv", table, about)
    return place


def _sha256(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    compare.main()
    (place,) = Path("exp").glob("*/compare/*")
    return place


class _Links(html.parser.HTMLParser):
    """What a page refers to, its ids, and the numbers that it carries."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.numbers, self.sounds = [], [], [], {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.numbers += [float(attributes["value"])] if tag == "data" else []
        if tag == "audio":
            self.sounds[attributes["aria-label"]] = attributes["src"]


def check_page(place):
    """Every link of the page leads somewhere, and none leaves its folder."""
    page = _Links(place / "index.html")
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        parts = urlparse(link)
        if parts.scheme == "data":
            continue
        assert not parts.scheme
        assert not parts.netloc
        if parts.path:
            assert (place / unquote(parts.path)).is_file()
            assert (place / unquote(parts.path)).resolve().is_relative_to(place.resolve())
        else:
            assert parts.fragment in page.ids
    text = (place / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(|https?://", text)
    return page


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("conf.yml", "[" * 100_000),
        ("conf.yml", "seed: 2020-13-45"),
        ("conf.yml", "seed: true story"),
        ("provenance.yml", "a: &a [1]\nb: *a"),
        ("provenance.yml", "recipe: [1]"),
        ("scores.yml", ""),
        ("scores.yml", "version: x"),
        ("scores.yml", None),
    ],
)
def test_one_that_is_damaged_does_not_stop_the_others(here, monkeypatch, capsys, name, content):
    make_scored("ant")
    make_scored("bee")
    place = make_scored("damaged")
    (path,) = (path for path in (place / name, place.parents[1] / name) if path.is_file())
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    about = yaml.safe_load((run(monkeypatch) / "compare.yml").read_text())
    assert set(about["experiments"]) == {"ant", "bee"}
    assert set(about["left_out"]) == {"damaged"}
    assert name in about["left_out"]["damaged"]
    said = [line for line in capsys.readouterr().out.splitlines() if "left out: damaged" in line]
    assert len(said) == 1
    # stage 3 of another one goes on too
    test_hash = manifest.read("data/garden/test.csv").hash
    found = seed_runs.siblings(experiment.Experiment("exp/garden/ant"), test_hash)
    assert [of.folder for of in found.values()] == [Path("exp/garden/ant")]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (name != "scores.yml")
    assert all(name in line for line in told)


def test_one_that_may_not_be_read_does_not_stop_the_others(here, monkeypatch, capsys):
    """As a folder of another user, which this one, who may read everything, cannot make."""
    make_scored("ant")
    make_scored("theirs")
    exists = Path.exists

    def refuse(path):
        if "theirs" in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    about = yaml.safe_load((run(monkeypatch) / "compare.yml").read_text())
    assert set(about["experiments"]) == {"ant"}
    assert about["left_out"]["theirs"].endswith("conf.yml: Permission denied")
    test_hash = manifest.read("data/garden/test.csv").hash
    capsys.readouterr()
    assert len(seed_runs.siblings(experiment.Experiment("exp/garden/ant"), test_hash)) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_a_seed_whose_scores_are_damaged_does_not_stop_the_report_of_another(here, capsys):
    places = [make_scored(name, seed=seed) for seed, name in enumerate(("ant", "ant_b", "ant_c"))]
    (places[1] / "scores.csv").write_text("id,snr_db\n")
    folder, test_hash = places[0].parents[1], places[0].name
    assert list(seed_runs.scores_of_seeds(experiment.Experiment(folder), test_hash)) == [0, 2]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"seed 1 is left out: {places[1] / 'scores.csv'}")
    (places[0] / "scores.csv").write_text("id,snr_db\n")
    with pytest.raises(UserError, match=r"scores\.csv"):
        seed_runs.scores_of_seeds(experiment.Experiment(folder), test_hash)


def test_each_reason_to_be_left_out(here, monkeypatch, capsys):
    make_scored("ant")
    make_scored("bee")
    make_scored("other_set", hash="0123456789ab")
    make_scored("other_engine", engine="museval")
    make_scored("old_metrics", version=metrics.VERSION - 1)
    make_scored("few_metrics", metrics=["si_sdr"])
    make_scored("anew", model_sha256="0")
    place = make_scored("unfinished")
    (place / "scores.csv").rename(place / "scores.partial.csv")
    (make_scored("unscored") / "scores.csv").unlink()
    (make_scored("untrained").parents[1] / "best_model.pth").unlink()
    (make_scored("damaged") / "scores.csv").write_text("id,snr_db\n")
    Path("exp/garden/mixture").mkdir()
    place = run(monkeypatch)
    left_out = yaml.safe_load((place / "compare.yml").read_text())["left_out"]
    expected = {
        "other_set": "another test set (0123456789ab)",
        "other_engine": "engine museval, most by fast",
        "old_metrics": "another version",
        "few_metrics": "without stoi",
        "anew": "has changed since",
        "unfinished": "scoring is unfinished",
        "unscored": "not scored",
        "untrained": "training is unfinished",
        "damaged": "expected a column",
    }
    assert set(left_out) == set(expected)
    texts = [capsys.readouterr().out, (place / "summary.md").read_text(),
             (place / "index.html").read_text()]  # fmt: skip
    for name, why in expected.items():
        assert why in left_out[name]
        assert all(name in text and why in text for text in texts)
    assert set(pandas.read_csv(place / "systems.csv")["system"]) == {"ant", "bee"}
    check_page(place)


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

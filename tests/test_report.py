"""Stage 3: the report's numbers and files, whatever the scores are; and the program."""

import re
import sys
import types
from urllib.parse import unquote

import made_reports
import numpy as np
import pytest
from made_reports import NAN, SCORED, Structure, make, run, scores_of, separate

import local.model
from local import report
from local.base import disk, experiment
from local.base.errors import UserError
from local.reporting import figures, statistics, tables
from local.scoring import metrics, score_table, seed_runs


@pytest.fixture(autouse=True, scope="module")
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
        yield


@pytest.fixture(scope="module")
def index(made_report):
    return Structure(made_report[2] / "index.html")


@pytest.fixture(scope="module")
def by_snr(made_report):
    return made_reports.by_snr(made_report[2])


# by_snr.csv and summary.md


def test_the_csv_is_long_and_says_what_by_snr_says(made_report, by_snr):
    scores = score_table.read_scores(made_report[2] / "scores.csv")
    table = statistics.by_snr(scores)
    assert len(by_snr) == len(table)
    for row in table.to_dict("records"):
        read = by_snr[row["snr_db"], row["source"], row["metric"]]
        assert list(read) == ["snr_db", "source", "metric", "n", "n_groups", "n_failed", "mean",
                              "std", "median", "mad", "ci_low", "ci_high"]  # fmt: skip
        for name in list(read)[3:]:
            assert float(read[name] or "nan") == pytest.approx(row[name], rel=1e-5, nan_ok=True)
    failed = by_snr["0", "voice", "pesq_nb"]
    assert (failed["n"], failed["n_failed"]) == ("4", "1")
    assert ("all", "noise", "pesq_nb") not in by_snr
    assert by_snr["all", "noise", "si_sdr_vs_residual"]["mean"] == "0.5"


def test_the_summary_prints_the_numbers_of_the_csv(made_report, by_snr):
    text = (made_report[2] / "summary.md").read_text(encoding="utf-8")
    for source in local.SOURCES:
        for level in ("-5", "0", "5", "10", "15", "all"):
            row, gain = (by_snr[level, source, name] for name in ("si_sdr", "si_sdr_imp"))
            mean, median, mad = (float(row[name]) for name in ("mean", "median", "mad"))
            low, high = float(gain["ci_low"]), float(gain["ci_high"])
            assert f"| {median:.2f} | {mad:.2f} | {float(gain['mean']):+.2f} |" in text
            assert f"{mean:.2f}" in text
            assert f"[{low:.2f}, {high:.2f}]" in text
            assert f"{median:.2f} ({mad:.2f})" in text
    for said in (
        "another training seed",
        "PEASS",
        "unscaled",
        "c0ffee",
        made_report[1].hash,
        "5054817",
    ):
        assert said in text
    for link in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (made_report[2] / link).is_file()
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| SNR")}
    for line in text.splitlines():
        assert not line.startswith("| -5") or line.count("|") in widths


def test_several_seeds_are_shown_as_such(made_report, by_snr, index):
    first, second = (statistics.by_snr(scores_of(made_report[1], seed)) for seed in (0, 1))
    means = [tables.row_of(t, "all", "voice", "si_sdr_imp")["mean"] for t in (first, second)]
    text = (made_report[2] / "summary.md").read_text(encoding="utf-8")
    mean, std = np.mean(means), np.std(means, ddof=1)
    assert f"| all | {means[0]:.2f} | {means[1]:.2f} | {mean:.2f} | {std:.2f} |" in text
    rows = index.tables["Voice: mean SI-SDR improvement (dB) of each training seed"]
    assert [float(value) for value in rows[-1][1:]] == pytest.approx([*means, mean, std], rel=1e-5)


def test_only_the_seed_may_differ_between_siblings(tmp_path):
    home, test, place = make(tmp_path, rows=2)
    twin, _, _ = make(tmp_path, tag="_a", seed=7)
    make(tmp_path, tag="_again", seed=7)
    make(tmp_path, tag="_lr", seed=1, **{"optim.lr": "0.1"})
    make(tmp_path, tag="_long", seed=2, **{"trainer.max_epochs": "3"})
    other, _, _ = make(tmp_path, tag="_data", seed=3)
    facts = disk.read_yaml(other / "provenance.yml") | {"train_hash": "another"}
    disk.write_yaml(other / "provenance.yml", facts)
    unscored, _, place_of = make(tmp_path, tag="_unscored", seed=4)
    place_of.rename(unscored / "scores" / "another")
    found = seed_runs.siblings(experiment.Experiment(home), test.hash)
    assert {seed: of.scores(test.hash) for seed, of in found.items()} == {
        0: place / "scores.csv",
        7: twin / "scores" / test.hash / "scores.csv",
    }


def test_the_terminal_table_fits_100_columns(made_report):
    scores = scores_of(made_report[1], chosen=tuple(metrics.METRICS))
    scores.loc[0, "si_sdr"] = NAN
    shown = report.terminal(statistics.by_snr(scores))
    assert max(map(len, shown.splitlines())) <= 100
    assert re.search(r"^SNR \(dB\) .* improvement +95 % interval$", shown, re.M)
    assert all(f"{source.capitalize()}: SI-SDR (dB)" in shown for source in local.SOURCES)


# whatever the scores are


def first_level(scores):
    return scores.assign(snr_db=0.0)


def one_group(scores):
    return scores.assign(group="only")


def one_failed_everywhere(scores):
    columns = ["si_sdr", "si_sdr_mix", "si_sdr_imp"]
    failed = "; ".join(f"{name}: silent" for name in columns)
    return scores.assign(failed=failed, **dict.fromkeys(columns, NAN))


def most_failed(scores):
    scores.loc[2:, [name for name in scores if name.startswith(SCORED)]] = NAN
    return scores


def continuous(scores):
    count = len(scores) // 2
    return scores.assign(snr_db=np.repeat(np.linspace(-6.3, 14.9, count), 2))


def only_stoi(scores):
    extra = ["si_sdr_best_order", "swapped", "si_sdr_vs_residual", "failed"]
    return scores[[*score_table.KEYS, "stoi", "stoi_mix", "stoi_imp", *extra]]


@pytest.mark.parametrize(
    ("rows", "change", "says"),
    [
        (1, None, "there is no interval"),
        (3, first_level, None),
        (5, one_group, "there is no interval"),
        (4, one_failed_everywhere, "silent"),
        (4, most_failed, None),
        (20, continuous, "SNRs are in bins with the edges -10, -5, 0, 5, 10, 15 dB"),
        (4, only_stoi, None),
    ],
)
def test_a_report_of_any_scores(tmp_path, rows, change, says):
    home, test, place = make(tmp_path, rows, change=change)
    table = run(home, test, place)
    text, index = (place / "summary.md").read_text(), Structure(place / "index.html")
    assert says is None or (says in text and says in index.text.replace("\N{MINUS SIGN}", "-"))
    assert len(report.terminal(table)) > 500
    assert not re.search(r"\b(nan|inf)\b|– –|– \(|dB –", text)
    for link in index.all("img", "src") + index.all("audio", "src"):
        assert (place / unquote(link)).is_file()
    levels = statistics.level_names(table)
    assert {about["data-level"] for tag, about in index.tags if tag == "article"} <= set(levels)


def test_estimates_that_are_nan_are_said_to_be(tmp_path):
    home, test, place = make(tmp_path, 1)
    run(home, test, place, separate=lambda mix, rate, sources: sources * NAN)
    index = Structure(place / "index.html")
    assert len(index.all("audio", "src")) == 3
    assert sum("holds NaN" in text for text in index.texts["small"]) == 2


# again, and in spite of trouble


def files(place):
    return {
        p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()
    }


def test_a_report_again_replaces_the_one_before(tmp_path):
    home, test, place = make(tmp_path, 3, change=first_level)
    run(home, test, place, number=1)
    before = files(place)
    run(home, test, place, number=1)
    after = files(place)
    changing = ("index.html", "summary.md")  # they say when
    assert {k: v for k, v in before.items() if k not in changing} == {
        k: v for k, v in after.items() if k not in changing
    }
    run(home, test, place, number=0)
    assert list((place / "audio").iterdir()) == []
    assert Structure(place / "index.html").all("audio", "src") == []
    assert len(list((place / "figures").glob("spectrograms_*.png"))) == 3


def test_a_learnt_filterbank_stands_on_the_page(tmp_path, monkeypatch):
    home, test, place = make(tmp_path, 2)
    drawn = figures.blank(2, 2)[0]
    monkeypatch.setattr(report.filterbank_figure, "learnt", lambda of: drawn)
    run(home, test, place)
    assert "figures/filterbank.png" in Structure(place / "index.html").all("img", "src")
    assert "(figures/filterbank.png)" in (place / "summary.md").read_text("utf-8")


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, UserError])
def test_a_report_that_ends_early_leaves_the_one_before(tmp_path, trouble):
    home, test, place = make(tmp_path, 2)
    run(home, test, place)
    before, calls = files(place), []

    def interrupted(mix, rate, sources):
        calls.append(rate)
        if len(calls) == 2:
            raise trouble("enough")
        return separate(mix, rate, sources)

    with pytest.raises(trouble):
        run(home, test, place, separate=interrupted)
    assert files(place) == before
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


# the program


def call(monkeypatch, folder, *argv):
    """Run the program in ``folder`` with stubs in place of a model."""
    separator = types.SimpleNamespace(to=lambda device: "a separator")
    stubs = {
        "separators": {"load": lambda path: separator},
        "windows": {"estimate": lambda separator, mix, rate, sources: separate(mix, rate, sources)},
    }
    for name, functions in stubs.items():
        stub = types.SimpleNamespace(**functions)
        monkeypatch.setitem(sys.modules, f"local.model.{name}", stub)
        monkeypatch.setattr(local.model, name, stub, raising=False)
    monkeypatch.setattr(sys, "argv", ["report.py", "--model", "convtasnet", *argv])
    monkeypatch.chdir(folder)
    report.main()


def test_the_program_prints_the_table_and_where_the_report_lies(tmp_path, monkeypatch, capsys):
    _, _, place = make(tmp_path, 2)
    call(monkeypatch, tmp_path, "--num-examples", "1")
    out = capsys.readouterr().out
    assert "Voice: SI-SDR (dB)" in out
    assert "Noise: SI-SDR (dB)" in out
    last = out.splitlines()[-1].removeprefix("report: ")
    assert (tmp_path / last) == place / "index.html"
    assert (tmp_path / last).is_file()


def test_without_scores_the_program_names_stage_2(tmp_path, monkeypatch):
    _, _, place = make(tmp_path, 2)
    (place / "scores.csv").unlink()
    with pytest.raises(UserError, match=r"scores\.csv: not there; stage 2 makes it"):
        call(monkeypatch, tmp_path)


def test_without_a_model_the_program_names_stage_1(tmp_path, monkeypatch):
    home, _, _ = make(tmp_path, 2)
    (home / "best_model.pth").unlink()
    with pytest.raises(UserError, match="stage 1 makes it"):
        call(monkeypatch, tmp_path)


def test_a_model_that_was_not_scored_is_not_heard(tmp_path, monkeypatch):
    home, _, _ = make(tmp_path, 2)
    (home / "best_model.pth").write_bytes(b"another")
    with pytest.raises(UserError, match=r"has changed since .* run stage 2 again"):
        call(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    "argv", [("--num-examples", "-1"), ("--num-examples", "x"), ("--num-exmaples", "1")]
)
def test_wrong_options_are_a_line(tmp_path, monkeypatch, argv):
    with pytest.raises(UserError, match="num-examples"):
        call(monkeypatch, tmp_path, *argv)

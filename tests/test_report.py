"""Stage 3: the report's numbers, files and page; in Chromium, where there is one, its behaviour."""

import csv
import hashlib
import html.parser
import json
import re
import sys
import types
from pathlib import Path
from urllib.parse import unquote

import chromium
import numpy as np
import pandas
import pytest
import scored_experiments
import soundfile

import local.model
from local import report
from local.base import config, disk, experiment
from local.base.errors import UserError
from local.corpus import manifest
from local.reporting import figures, pages, statistics, tables
from local.scoring import metrics, score_table, seed_runs

NAN = float("nan")
SCORED = ("si_sdr", "sdr_v4", "pesq_nb", "stoi")
ROWS = 25  # five at each of five SNRs
LENGTH = 2000


def scores_of(test, seed=0, chosen=SCORED):
    """Scores that nobody measured, in the form of scores.csv."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(len(test)):
        about = test.row(i)
        for source in local.SOURCES:
            row = {"id": about.id, "snr_db": about.snr_db, "group": about.group, "source": source}
            for name in chosen:
                of_source = source in metrics.METRICS[name].sources
                mixture = about.snr_db * (1 if source == "voice" else -1) if of_source else NAN
                gain = rng.normal(6, 2)
                row |= {name: mixture + gain, f"{name}_mix": mixture, f"{name}_imp": gain}
                row[f"{name}_imp"] = row[name] - mixture
            residual = NAN if source == "voice" else 0.5
            row |= {"si_sdr_best_order": 1.0, "swapped": 0, "si_sdr_vs_residual": residual}
            row["failed"] = ""
            rows.append(row)
    return pandas.DataFrame(rows)


def make(folder, rows=ROWS, tag="", seed=0, change=None, **conf):
    """An experiment with scores below ``folder``: folder, manifest, place of the scores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        path = Path("data/garden/test.csv")
        if not path.is_file():
            scored_experiments.make_manifest("garden", rows, LENGTH)
        test = manifest.read(path.resolve())
    home = folder / "exp" / "garden" / f"convtasnet{tag}"
    place = home / "scores" / test.hash
    home.mkdir(parents=True)
    (home / "best_model.pth").write_bytes(b"a model")
    settings = config.read("convtasnet", None, {"seed": str(seed)} | conf)
    settings["model"].pop("fb_name")  # the model below has no filterbank that could be drawn
    origin = experiment.provenance()
    disk.write_yaml(home / "conf.yml", settings)
    disk.write_yaml(home / "provenance.yml", origin | {
        "recipe": "convtasnet", "preset": None, "seed": seed, "train_hash": "0123",
        "valid_hash": "4567", "commit": "c0ffee",
        "audio_seconds_seen": 7200.0, "training_seconds": 90.0,
    })  # fmt: skip
    about = {
        "test_hash": test.hash, "engine": "fast", "recipe": "convtasnet", "parameters": 5054817,
        "model_sha256": hashlib.sha256(b"a model").hexdigest(), "macs_per_second": 2500000000,
        "real_time_factor": 0.25, "metrics": list(SCORED), "provenance": origin,
    }  # fmt: skip
    scores = scores_of(test, seed)
    if change:
        scores = change(scores)
    scored_experiments.write_scores(place / "scores.csv", scores, about)
    return home, test, place


def separate(mix, rate, sources):
    """Estimates: a leak of each source into the other."""
    assert mix.shape == sources.shape[1:]
    return (sources + 0.1 * sources[::-1]).astype(np.float32)


def run(home, test, place, number=1, separate=separate):
    scores = score_table.read_scores(place / "scores.csv")

    def estimate(i):
        return separate(test.mix(i), test.row(i).sample_rate, test.sources(i))

    return report.write_report(experiment.Experiment(home), test, scores, estimate, number)


@pytest.fixture(autouse=True, scope="module")
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of two seeds, with NaN among its scores, two examples per SNR."""

    def change(scores):
        worst = scores["source"].eq("voice") & scores["id"].eq("0002_0")
        scores.loc[worst, ["pesq_nb", "pesq_nb_imp"]] = NAN
        scores.loc[worst, "failed"] = "pesq_nb: no <b>utterances</b> & \"more'"
        return scores

    folder = tmp_path_factory.mktemp("report & more")
    make(folder, tag="_second", seed=1)
    home, test, place = make(folder, change=change)
    run(home, test, place, number=2)
    return home, test, place


class Structure(html.parser.HTMLParser):
    """What a page holds: tags with attributes, text by tag, and the values of its <data>."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.texts, self.tables = [], [], {}, {}
        self.text = path.read_text(encoding="utf-8")
        self._table = None
        self.feed(self.text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag == "data":
            self._table and self._table[-1].append(attributes["value"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)
        if self.open[-2:] == ["caption", "span"]:
            self._table = self.tables.setdefault(data, [])
        if self.open[-1:] == ["th"] and self._table:
            self._table[-1].append(data)

    def all(self, tag, attribute):
        return [about[attribute] for name, about in self.tags if name == tag and attribute in about]


@pytest.fixture(scope="module")
def index(made):
    return Structure(made[2] / "index.html")


@pytest.fixture(scope="module")
def by_snr(made):
    with open(made[2] / "by_snr.csv", newline="") as file:
        return {(r["snr_db"], r["source"], r["metric"]): r for r in csv.DictReader(file)}


# by_snr.csv and summary.md


def test_the_csv_is_long_and_says_what_by_snr_says(made, by_snr):
    scores = score_table.read_scores(made[2] / "scores.csv")
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


def test_the_summary_prints_the_numbers_of_the_csv(made, by_snr):
    text = (made[2] / "summary.md").read_text(encoding="utf-8")
    for source in local.SOURCES:
        for level in ("-5", "0", "5", "10", "15", "all"):
            row, gain = (by_snr[level, source, name] for name in ("si_sdr", "si_sdr_imp"))
            mean, median, mad = (float(row[name]) for name in ("mean", "median", "mad"))
            low, high = float(gain["ci_low"]), float(gain["ci_high"])
            assert f"| {median:.2f} | {mad:.2f} | {float(gain['mean']):+.2f} |" in text
            assert f"{mean:.2f}" in text
            assert f"[{low:.2f}, {high:.2f}]" in text
            assert f"{median:.2f} ({mad:.2f})" in text
    for said in ("another training seed", "PEASS", "unscaled", "c0ffee", made[1].hash, "5054817"):
        assert said in text
    for link in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (made[2] / link).is_file()
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| SNR")}
    for line in text.splitlines():
        assert not line.startswith("| -5") or line.count("|") in widths


def test_several_seeds_are_shown_as_such(made, by_snr, index):
    first, second = (statistics.by_snr(scores_of(made[1], seed)) for seed in (0, 1))
    means = [tables.row_of(t, "all", "voice", "si_sdr_imp")["mean"] for t in (first, second)]
    text = (made[2] / "summary.md").read_text(encoding="utf-8")
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


def test_the_terminal_table_fits_100_columns(made):
    scores = scores_of(made[1], chosen=tuple(metrics.METRICS))
    scores.loc[0, "si_sdr"] = NAN
    shown = report.terminal(statistics.by_snr(scores))
    assert max(map(len, shown.splitlines())) <= 100
    assert re.search(r"^SNR \(dB\) .* improvement +95 % interval$", shown, re.M)
    assert all(f"{source.capitalize()}: SI-SDR (dB)" in shown for source in local.SOURCES)


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (tables.Number(1.005, 1), "1.0"),
        (tables.Number(-0.001, 2), "0.00"),
        (tables.Number(0.001, 2, True), "0.00"),
        (tables.Number(2, 2, True), "+2.00"),
        (tables.Number(NAN), "–"),
        (tables.Number(np.int64(1234567), None), "1234567"),
    ],
)
def test_numbers_are_printed_as_in_a_paper(number, printed):
    assert str(number) == printed


def test_a_table_is_the_same_on_a_terminal_and_in_markdown():
    ends = tables.interval(1.0, 2.5, 1), tables.interval(NAN, NAN, 1)
    table = tables.Table("A | b", ("", "x"), ((("a|b",), ends[0]), (("c",), ends[1])))
    assert tables.text(table).splitlines() == [
        "A | b",
        "              x",
        "a|b  [1.0, 2.5]",
        "c             –",
    ]
    assert tables.markdown(table).splitlines()[2:] == [
        "|  | x |", "| --- | ---: |", "| a\\|b | [1.0, 2.5] |", "| c | – |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (5054817, "5.05 M"), (999.4, "999"), (999600, "1 M"), (2.5e9, "2.5 G"), (0, "0")],
)
def test_quantities_have_three_digits_and_a_prefix(value, said):
    assert pages.quantity(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "–"), (90, "90 s"), (2400, "40 min"), (7200, "2 h"), (0, "0 s")]
)
def test_durations_are_said_in_a_unit_that_fits(seconds, said):
    assert pages.duration(seconds) == said


# the page


def test_every_link_leads_somewhere(made, index):
    ids = [about["id"] for _, about in index.tags if "id" in about]
    assert len(ids) == len(set(ids))
    links = [about[name] for _, about in index.tags for name in ("href", "src") if name in about]
    assert len(links) > 50
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        elif link != "data:,":
            assert (made[2] / unquote(link)).is_file(), link
    for name in ("for", "aria-labelledby"):
        for _, about in index.tags:
            assert set(about.get(name, "").split()) <= set(ids)


def test_nothing_is_external(made, index):
    for _, about in index.tags:
        for name in ("href", "src", "action", "srcset", "style"):
            assert "//" not in about.get(name, "")
    assert "@import" not in index.text
    assert "url(" not in index.text
    assert not re.search(r"https?:", index.text)
    assert index.all("script", "src") == []


def test_numbers_in_the_page_are_those_of_the_csv(index, by_snr):
    for source in local.SOURCES:
        title = f"{source.capitalize()}: SI-SDR (dB), means; median and MAD of the estimates"
        header, *rows = index.tables[title]
        levels = ["-5", "0", "5", "10", "15", "all"]
        assert header[0] == "SNR (dB)"
        assert [row[0].replace("\N{MINUS SIGN}", "-") for row in rows] == levels
        for level, (_, *values) in zip(levels, rows, strict=True):
            mix, row, gain = (
                by_snr[level, source, f"si_sdr{kind}"] for kind in ("_mix", "", "_imp")
            )
            assert values == [
                row["n"], row["n_groups"], mix["mean"], row["mean"], row["median"], row["mad"],
                gain["mean"], gain["ci_low"], gain["ci_high"],
            ]  # fmt: skip
        medians = index.tables[f"{source.capitalize()}: median (MAD) of the estimates"][1:]
        rows = {row[0]: row[1:] for row in medians}
        cells = [by_snr[level, source, "sdr_v4"] for level in levels]
        assert rows["SDR (v4) (dB)"] == [c[name] for c in cells for name in ("median", "mad")]


def test_the_page_is_made_to_be_read_by_all(index):
    assert index.all("html", "lang") == ["en"]
    assert any("width=device-width" in about.get("content", "") for _, about in index.tags)
    assert [tag for tag, _ in index.tags].count("h1") == 1
    assert [tag for tag, _ in index.tags].count("main") == 1
    for tag, about in index.tags:
        if tag == "img":
            assert len(about["alt"]) > 20
        if tag == "audio":
            assert "controls" in about
            assert about["preload"] == "none"
            assert re.search(r"\d{4}_-?\d+$", about["aria-label"])
        if tag == "th":
            assert about["scope"] in ("col", "row")
    labelled = set(index.all("label", "for"))
    assert {about["id"] for tag, about in index.tags if tag in ("select", "input")} <= labelled
    names = [tag for tag, _ in index.tags]
    assert names.count("table") == names.count("caption") > 10
    assert ":focus-visible" in index.text
    assert "prefers-color-scheme: dark" in index.text


def test_the_foot_says_what_the_numbers_are_and_where_they_come_from(made, index):
    said = " ".join(index.texts["dd"] + index.texts["p"] + index.texts["code"])
    for name in SCORED:
        assert name in index.texts["code"]
        assert metrics.METRICS[name].source in said
    origin = experiment.provenance()
    for fact in ("PEASS", "not another training seed", "c0ffee", made[1].hash, "0123", "5054817",
                 "2500000000", "7200", f"numpy {origin['packages']['numpy']}"):  # fmt: skip
        assert fact in said
    assert "pesq_wb" not in index.texts["code"]


def test_reasons_of_failures_are_shown_and_escaped(index):
    assert "<b>" not in index.text
    reasons = index.tables["Scores that failed"]
    assert reasons[1][-1] == "1"
    assert any("no <b>utterances</b> & \"more'" in text for text in index.texts["th"])


def test_each_level_has_its_examples_with_players_and_scores(made, index):
    cards = [about for tag, about in index.tags if tag == "article"]
    levels = [about["data-level"] for about in cards]
    assert levels == sorted(levels, key=float)
    assert all(levels.count(level) >= 2 for level in ("-5", "0", "5", "10", "15"))
    scores = score_table.read_scores(made[2] / "scores.csv").set_index(["id", "source"])
    titles = [text for text in index.texts["h3"] if re.fullmatch(r"\d{4}_-?\d+", text)]
    players = index.all("audio", "aria-label")
    assert len(titles) == len(cards)
    assert len(players) == 5 * len(cards)
    for name, about in zip(titles, cards, strict=True):
        carried = json.loads(about["data-scores"])
        assert carried["voice si_sdr"] == pytest.approx(scores.loc[(name, "voice"), "si_sdr"], 1e-5)
        for source in local.SOURCES:
            assert f"{source}, reference of {name}" in players
            assert f"{source}, estimate of {name}" in players
    if "0002_0" in titles:
        assert json.loads(cards[titles.index("0002_0")]["data-scores"])["voice pesq_nb"] is None


def test_figures_are_there_with_their_numbers_as_text(made, index, by_snr):
    names = {path.name for path in (made[2] / "figures").iterdir()}
    assert names == {
        "improvement.svg", "distribution.svg", "output_against_input.svg",
        "spectrograms_worst.png", "spectrograms_median.png", "spectrograms_best.png",
    }  # fmt: skip
    alt = next(text for text in index.all("img", "alt") if text.startswith("Mean improvement"))
    assert f"{float(by_snr['5', 'voice', 'si_sdr_imp']['mean']):+.2f} at 5 dB" in alt


# what is heard


def test_recordings_are_at_their_true_level(made):
    _, test, place = made
    paths = sorted((place / "audio").glob("*.mixture.wav"))
    assert len(paths) >= 10
    for path in paths[:3]:
        name = path.name.removesuffix(".mixture.wav")
        i = next(k for k in range(len(test)) if test.row(k).id == name)
        for k, source in enumerate(local.SOURCES):
            heard, rate = soundfile.read(path.with_name(f"{name}.{source}.reference.wav"))
            assert rate == test.row(i).sample_rate
            np.testing.assert_allclose(heard, test.sources(i)[k], atol=0.5 / 32768)
            heard, _ = soundfile.read(path.with_name(f"{name}.{source}.estimate.wav"))
            expected = separate(test.mix(i), rate, test.sources(i))[k]
            np.testing.assert_allclose(heard, expected, atol=0.5 / 32768)


@pytest.mark.parametrize(
    ("peak", "subtype"), [(0.5, "PCM_16"), (-1.0, "PCM_16"), (1.0, "FLOAT"), (-3.0, "FLOAT")]
)
def test_what_would_clip_is_written_as_float_and_said(tmp_path, peak, subtype):
    samples = np.array([0.0, peak, 0.25], np.float32)
    recording = pages.write_audio(tmp_path, "a", "voice", samples, 8000)
    path = tmp_path / recording.href
    assert soundfile.info(path).subtype == subtype
    np.testing.assert_allclose(soundfile.read(path)[0], samples, atol=1e-6)
    assert ("float" in recording.remark) == (subtype == "FLOAT")
    assert peak != -3 or "+9.5 dB" in recording.remark


def test_what_cannot_be_played_is_not_written(tmp_path):
    recording = pages.write_audio(tmp_path, "a", "voice", np.array([0.0, NAN]), 8000)
    assert recording.href is None
    assert "NaN" in recording.remark
    assert not (tmp_path / "audio").exists()


@pytest.mark.parametrize("name", ["../../a", "a/b", "5 #1?%", "..", "dö"])
def test_no_name_leaves_the_folder_or_breaks_a_link(tmp_path, name):
    folder = tmp_path / "page"
    sources = np.zeros((2, 100), np.float32)
    heard = pages.write_example(folder, name, sources[0], sources, {"a/b": sources}, 8000)
    for href in (*(recording.href for recording in heard.recordings), heard.spectrograms):
        path = (folder / unquote(href)).resolve()
        assert path.is_file()
        assert path.parent == folder / "audio"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


@pytest.mark.parametrize("length", [1, 7, 300, 20000])
def test_spectrograms_of_any_length_put_a_sine_where_it_is(length):
    rate, frequency = 8000, 1000
    x = np.sin(2 * np.pi * frequency * np.arange(length) / rate)
    power = figures.spectrogram(x, rate)
    assert 1 <= power.shape[1] <= 2 * figures.COLUMNS
    if length > 1000:
        middle = power[:, power.shape[1] // 2]
        assert middle.argmax() == round(frequency * figures.WINDOW)
        assert middle.max() == pytest.approx(0, abs=0.1)


def test_silence_and_nan_can_be_drawn(tmp_path):
    sources = np.zeros((2, 400), np.float32)
    broken = np.full((2, 400), NAN, np.float32)
    figure = figures.spectrograms(sources[0], sources, {"estimate": broken}, 8000)
    figures.write(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


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
    assert not re.search(r"\b(nan|inf)\b|– –|– \(", text)
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


# in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium.find() is None:
        pytest.skip("no Chromium here")
    with chromium.browser(tmp_path_factory.mktemp("chromium") / "profile") as tab:
        yield tab


@pytest.fixture
def tab(browser, made):
    """The page, freshly loaded, on a desk."""
    browser.resize(1280, 900)
    browser.log.clear()
    browser.requests.clear()
    browser.open(made[2] / "index.html")
    yield browser
    assert browser.log == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests)


CARDS = "[...document.querySelectorAll('.example')].filter(e => !e.hidden)"


def seen(tab, what):
    """A property of each example shown, in the order shown."""
    return tab.evaluate(f"{CARDS}.map(e => {what})")


def choose(tab, **fields):
    for name, value in fields.items():
        tab.evaluate(
            f"(e => {{ e.value = {json.dumps(value)};"
            "e.dispatchEvent(new Event('input', {bubbles: true})); })"
            f"(document.getElementById('{name}'))"
        )


def test_browser_sorts_by_snr_and_by_any_score(tab, made):
    scores = score_table.read_scores(made[2] / "scores.csv").set_index(["id", "source"])
    name = "e.querySelector('h3').textContent"
    snrs = seen(tab, "Number(e.dataset.snr)")
    assert snrs == sorted(snrs)
    assert len(snrs) >= 10
    choose(tab, order="snr down")
    assert seen(tab, "Number(e.dataset.snr)") == sorted(snrs, reverse=True)
    for source, metric in (("voice", "si_sdr"), ("noise", "sdr_v4_imp")):
        for way, reverse in (("up", False), ("down", True)):
            choose(tab, score=f"{source} {metric}", order=f"score {way}")
            values = [scores.loc[(example, source), metric] for example in seen(tab, name)]
            assert values == sorted(values, reverse=reverse)
            assert len(values) == len(snrs)
    shown = seen(tab, "e.querySelector('.shown').textContent")[0]
    assert shown == f"noise: SDR (v4) improvement {values[0]:.2f} dB"


def test_browser_filters_by_snr_and_score_and_shows_all_again(tab):
    count = len(seen(tab, "1"))
    choose(tab, level="-5")
    assert set(seen(tab, "e.dataset.level")) == {"-5"}
    assert tab.evaluate("document.getElementById('count').textContent").startswith(
        f"{len(seen(tab, '1'))} of {count}"
    )
    choose(tab, level="", score="voice si_sdr", least="8")
    value = "JSON.parse(e.dataset.scores)['voice si_sdr']"
    high = seen(tab, value)
    assert high
    assert min(high) >= 8
    choose(tab, least="", most="8")
    low = seen(tab, value)
    assert max(low) <= 8
    assert len(low) + len(high) == count
    choose(tab, least="1000", most="")
    assert seen(tab, "1") == []
    assert not tab.evaluate("document.getElementById('none').hidden")
    tab.evaluate("document.querySelector('button[type=reset]').click()")
    assert tab.evaluate(f"new Promise(done => setTimeout(() => done({CARDS}.length)))") == count


def test_browser_puts_failed_scores_last_and_outside_every_range(tab):
    tab.evaluate(
        "(e => { const s = JSON.parse(e.dataset.scores); s['voice si_sdr'] = null;"
        "e.dataset.scores = JSON.stringify(s); })(document.querySelector('.example'))"
    )
    # the script read the page when it was loaded: let it read again
    tab.evaluate("(0, eval)(document.querySelector('script').textContent)")
    count = len(seen(tab, "1"))
    for way in ("up", "down"):
        choose(tab, score="voice si_sdr", order=f"score {way}")
        assert seen(tab, "JSON.parse(e.dataset.scores)['voice si_sdr']")[-1] is None
    choose(tab, least="-1000")
    assert len(seen(tab, "1")) == count - 1


def test_browser_is_used_by_keyboard(tab):
    reached = []
    tab.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    tab.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    tab.evaluate("document.getElementById('level').focus()")
    tab.press("ArrowDown")
    assert set(seen(tab, "e.dataset.level")) == {"-5"}
    for _ in range(12):
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
        style = "getComputedStyle(document.activeElement)"
        assert tab.evaluate(f"parseFloat({style}.outlineWidth)") >= 2 or reached[-1] == "AUDIO"
        tab.press("Tab")
    assert reached[:5] == ["level", "score", "least", "most", "order"]
    assert {"BUTTON", "AUDIO"} <= set(reached)
    tab.evaluate("document.querySelector('.example summary').focus()")
    tab.press("Enter")
    assert tab.evaluate("document.querySelector('.example details').open")


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_browser_page_is_never_wider_than_the_window(tab, width):
    tab.resize(width, 800)
    tab.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    small = "[...document.querySelectorAll('select, input, button, audio')]"
    heights = tab.evaluate(f"{small}.filter(e => e.offsetParent).map(e => e.offsetHeight)")
    assert min(heights) >= 40


TEXTS = ["p", "th", "td", "a", "figcaption", ".why", "dt", "summary", "label", "select", "output"]
CONTRAST = """(names) => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const luminance = (colour) => {
        const [r, g, b] = parts(colour).map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return parts(colour)[3] === 0 ? ground(e.parentElement) : colour;
    };
    return names.map((name) => {
        const e = document.querySelector(`main ${name}`) ?? document.querySelector(name);
        const both = [getComputedStyle(e).color, ground(e)].map(luminance);
        return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    });
}"""  # of text, as WCAG 2 defines it


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_text_has_contrast_in_light_and_dark(tab, scheme):
    tab.prefer(scheme)
    tab.evaluate("document.querySelector('main details').open = true")
    ratios = tab.evaluate(f"({CONTRAST})({json.dumps(TEXTS)})")
    assert min(ratios) >= 4.5
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 380) == (scheme == "dark")


def test_browser_plays_one_recording_and_goes_on_where_the_other_was(tab):
    state = tab.evaluate(
        """(async () => {
        const [first, second] = document.querySelectorAll('.example audio');
        const other = document.querySelectorAll('.example')[1].querySelector('audio');
        const playing = (e) => new Promise((done, no) => {
            e.addEventListener('playing', done, {once: true});
            e.addEventListener('error', () => no(new Error(e.error.message)), {once: true});
            e.play().catch(() => {}); });
        const begin = [];
        first.loop = second.loop = true;
        first.currentTime = 0.1;
        await playing(first);
        second.addEventListener('seeking', () => begin.push(second.currentTime), {once: true});
        await playing(second);
        const paused = [first.paused, second.paused];
        await playing(other);
        return [...paused, second.paused, first.duration, begin[0] ?? second.currentTime];
        })()"""
    )
    assert state[:3] == [True, False, True]
    assert state[3] == pytest.approx(LENGTH / scored_experiments.triplet_trees.RATE, abs=0.01)
    assert state[4] >= 0.09

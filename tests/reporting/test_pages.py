"""The page of a report: its numbers, links, texts and recordings."""

import json
import re
from urllib.parse import unquote

import made_reports
import numpy as np
import pytest
import soundfile
from made_reports import NAN, SCORED, Structure, separate

import local
from local.base import experiment
from local.reporting import pages
from local.scoring import metrics, score_table


@pytest.fixture(scope="module")
def index(made_report):
    return Structure(made_report[2] / "index.html")


@pytest.fixture(scope="module")
def by_snr(made_report):
    return made_reports.by_snr(made_report[2])


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


def test_every_link_leads_somewhere(made_report, index):
    ids = [about["id"] for _, about in index.tags if "id" in about]
    assert len(ids) == len(set(ids))
    links = [about[name] for _, about in index.tags for name in ("href", "src") if name in about]
    assert len(links) > 50
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        elif link != "data:,":
            assert (made_report[2] / unquote(link)).is_file(), link
    for name in ("for", "aria-labelledby"):
        for _, about in index.tags:
            assert set(about.get(name, "").split()) <= set(ids)


def test_nothing_is_external(made_report, index):
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


def test_the_foot_says_what_the_numbers_are_and_where_they_come_from(made_report, index):
    said = " ".join(index.texts["dd"] + index.texts["p"] + index.texts["code"])
    for name in SCORED:
        assert name in index.texts["code"]
        assert metrics.METRICS[name].source in said
    origin = experiment.provenance()
    for fact in ("PEASS", "not another training seed", "c0ffee", made_report[1].hash, "0123",
                 "5054817", "2500000000", "7200",
                 f"numpy {origin['packages']['numpy']}"):  # fmt: skip
        assert fact in said
    assert "pesq_wb" not in index.texts["code"]


def test_reasons_of_failures_are_shown_and_escaped(index):
    assert "<b>" not in index.text
    reasons = index.tables["Scores that failed"]
    assert reasons[1][-1] == "1"
    assert any("no <b>utterances</b> & \"more'" in text for text in index.texts["th"])


def test_each_level_has_its_examples_with_players_and_scores(made_report, index):
    cards = [about for tag, about in index.tags if tag == "article"]
    levels = [about["data-level"] for about in cards]
    assert levels == sorted(levels, key=float)
    assert all(levels.count(level) >= 2 for level in ("-5", "0", "5", "10", "15"))
    scores = score_table.read_scores(made_report[2] / "scores.csv").set_index(["id", "source"])
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


def test_figures_are_there_with_their_numbers_as_text(made_report, index, by_snr):
    names = {path.name for path in (made_report[2] / "figures").iterdir()}
    assert names == {
        "improvement.svg", "distribution.svg", "output_against_input.svg",
        "spectrograms_worst.png", "spectrograms_median.png", "spectrograms_best.png",
    }  # fmt: skip
    alt = next(text for text in index.all("img", "alt") if text.startswith("Mean improvement"))
    assert f"{float(by_snr['5', 'voice', 'si_sdr_imp']['mean']):+.2f} at 5 dB" in alt


# what is heard


def test_recordings_are_at_their_true_level(made_report):
    _, test, place = made_report
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


@pytest.mark.parametrize("name", ["../../a", "a/b", "5 #1?%", "..", "dö", "dö/" * 30])
def test_no_name_leaves_the_folder_or_breaks_a_link(tmp_path, name):
    folder = tmp_path / "page"
    sources = np.zeros((2, 100), np.float32)
    made = {f"{name}{k}": sources for k in range(2)}
    heard = pages.write_example(folder, name, sources[0], sources, made, 8000)
    links = [*(recording.href for recording in heard.recordings), heard.spectrograms]
    assert len(set(links)) == 1 + 2 * 3 + 1
    for href in links:
        path = (folder / unquote(href)).resolve()
        assert path.is_file()
        assert path.parent == folder / "audio"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]

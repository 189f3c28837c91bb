"""The program `winnow score`: DNSMOS before and after, a table, a page; networks are stand-ins."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pandas
import pytest
import soundfile

from local import SOURCES
from local.model import pretrained, windows
from local.scoring import dnsmos, metric_values, ratings

RATE = 8000  # the toy's


@pytest.fixture
def score(winnow, monkeypatch):
    """A function that runs `winnow score` -> exit code, lines on standard error; the networks rate
    a window by its loudness. ``score.windows`` counts how many they have rated."""

    def p835(names, inputs):
        run.windows += 1
        loudness = np.sqrt(np.mean(np.square(inputs["input_1"][0], dtype=float)))
        return [np.array([[loudness, 2 * loudness, 3 * loudness]])]

    def p808(names, inputs):
        return [np.array([[inputs["input_1"].mean()]])]

    networks = dnsmos.Networks(SimpleNamespace(run=p835), SimpleNamespace(run=p808))
    monkeypatch.setattr(dnsmos, "load", lambda: networks)
    monkeypatch.setattr(dnsmos, "check", lambda: None)

    def run(*words):
        run.windows = 0
        return winnow("score", *words)

    return run


def write(path, frames=5001, channels=1, rate=RATE, seed=0):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return samples.astype(np.float32)


def table(folder="winnow_score"):
    return pandas.read_csv(f"{folder}/scores.csv").set_index(["recording", "system"])


class Links(HTMLParser):
    """What a page refers to, and the labels of its players."""

    def __init__(self, page: Path):
        super().__init__()
        self.links, self.players = [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.players += [given["aria-label"]] if tag == "audio" else []
        link = given.get("src") or given.get("href") or "#"
        if not link.startswith(("#", "data:")):
            self.links.append(unquote(link))


def test_ratings_are_those_of_the_recording_and_of_each_voice(score, capfd):
    x = write("in/a.wav", 5001, 2, 16000)
    write("in/below/b.flac.wav", 3000)
    code, lines = score("in", "--model", "toy", "--model", "free", "--model", "toy,free")
    assert (code, lines) == (0, [])
    found = table()
    systems = ["mixture", "toy", "free", "toy,free"]
    assert list(found.index) == [(name, system) for name in ("in/a.wav", "in/below/b.flac.wav")
                                 for system in systems]  # fmt: skip
    mono = x.mean(1)
    for system in systems:
        voice = mono
        if system != "mixture":  # the toy hears half of the band; the rest is shared out
            voice = windows.estimate(pretrained.open_model(system), mono, 16000)[0]
        expected = metric_values.dnsmos(voice, 16000)
        row = found.loc["in/a.wav", system]
        assert {name: row[name] for name in dnsmos.NAMES} == pytest.approx(expected, rel=1e-5)
        assert (row["seconds"], row["sample_rate"]) == (pytest.approx(5001 / 16000), 16000)


def test_the_page_plays_every_system_beside_the_mixture(score):
    x = write("a.wav", 2 * RATE)
    assert score("a.wav", "--model", "toy", "--model", "free", "--out", "out")[0] == 0
    page = Links(Path("out/index.html"))
    for link in page.links:
        assert (Path("out") / link).is_file(), link
    said = [f"{source}, {system}" for source in SOURCES for system in ("toy", "free")]
    assert page.players == [f"{label} of a.wav" for label in ("mixture", *said)]
    [mixture, voice] = [next(Path("out/audio").glob(f"*.{name}.wav"))
                        for name in ("mixture", "voice.toy")]  # fmt: skip
    assert soundfile.read(mixture)[0] == pytest.approx(x[:, 0], abs=2**-15)
    assert soundfile.read(voice)[0] == pytest.approx(0.75 * x[:, 0], abs=2**-9)  # 16-bit floats
    text = Path("out/index.html").read_text(encoding="utf-8")
    assert "reference" not in re.sub("without references", "", text.split("<main")[1].lower())
    assert "free" in text.split("<main")[0] + text


def test_the_same_command_continues_and_another_model_is_added(score):
    for name in ("a", "b"):
        write(f"in/{name}.wav", 10 * RATE, seed=ord(name))
    assert score("in", "--model", "toy")[0] == 0
    assert score.windows == 4
    first = Path("winnow_score/scores.csv").read_bytes()
    assert score("in", "--model", "toy")[0] == 0
    assert score.windows == 0
    assert Path("winnow_score/scores.csv").read_bytes() == first
    assert score("in", "--model", "toy", "--model", "free")[0] == 0
    assert score.windows == 2
    assert len(table()) == 6
    write("in/b.wav", 10 * RATE, seed=3)  # another recording of the same name
    before = table()
    assert score("in", "--model", "toy", "--model", "free")[0] == 0
    assert score.windows == 3
    now = table()
    assert now.loc["in/a.wav"].equals(before.loc["in/a.wav"])
    assert (now.loc["in/b.wav", "dnsmos_ovrl"] != before.loc["in/b.wav", "dnsmos_ovrl"]).all()
    [weights] = pretrained.files("toy")
    shutil.copy(pretrained.files("free")[0], weights)  # other weights of the same name
    assert score("in", "--model", "toy")[0] == 0
    assert score.windows == 2


def test_an_interrupted_run_continues(score, monkeypatch):
    for name in ("a", "b", "c"):
        write(f"in/{name}.wav", 10 * RATE, seed=ord(name))
    whole = metric_values.dnsmos

    def interrupted(*arguments):
        if score.windows == 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(metric_values, "dnsmos", interrupted)
    code, [line] = score("in")
    assert (code, line) == (130, "winnow score: interrupted; the same command continues")
    assert list(table().index) == [("in/a.wav", "mixture"), ("in/a.wav", "toy"),
                                   ("in/b.wav", "mixture")]  # fmt: skip
    with open("winnow_score/scores.csv", "a", encoding="utf-8") as file:
        file.write("in/b.wav,toy,10,80")  # of a run that was killed
    monkeypatch.setattr(metric_values, "dnsmos", whole)
    assert score("in")[0] == 0
    assert score.windows == 3
    assert len(table()) == 6


def test_a_recording_that_cannot_be_rated_is_a_line_and_the_others_are(score):
    write("in/good.wav")
    soundfile.write("in/silent.wav", np.zeros(4000), RATE)
    soundfile.write("in/nan.wav", np.full(4000, np.nan), RATE, subtype="FLOAT")
    Path("in/text.wav").write_text("no sound")
    Path("in/film.mp4").write_text("no sound")
    code, lines = score("in")
    assert code == 1
    said = "\n".join(lines)
    assert "winnow score: in/nan.wav: holds samples that are NaN or infinite, the first at" in said
    assert "winnow score: in/text.wav: " in said
    assert "in/film.mp4: soundfile does not read .mp4" in said
    assert lines[-1] == "winnow score: 3 of 5 recordings could not be rated"
    assert len(lines) == 4
    found = table()
    assert set(found.loc["in/silent.wav", "failed"]) == {"silent estimate"}
    assert found.loc["in/silent.wav", list(dnsmos.NAMES)].isna().all(axis=None)
    assert found.loc["in/good.wav", list(dnsmos.NAMES)].notna().all(axis=None)
    page = Path("winnow_score/index.html").read_text(encoding="utf-8")
    assert "in/silent.wav, toy: silent estimate" in page


@pytest.mark.parametrize(("words", "said"), [
    ([], "expected an INPUT"),
    (["-"], "standard input cannot be rated: write it to a file"),
    (["no.wav"], "no.wav: no such file"),
    (["a.wav", "--model", "tyo"], "unknown model 'tyo'; did you mean 'toy'?"),
    (["a.wav", "--model", "oracle"], "oracle is an oracle"),
    (["a.wav", "--out", "a.wav"], "--out a.wav: expected a folder, found a file"),
    (["a.wav", "--modle", "toy"], "did you mean '--model'?"),
    (["empty"], "empty: holds no recordings"),
    (["a.wav", "--device", "tpu"], "--device tpu: there is none here"),
])  # fmt: skip
def test_what_is_wrong_before_any_work_is_one_line(score, words, said):
    write("a.wav")
    Path("empty").mkdir()
    code, [line] = score(*words)
    assert code == 2
    assert line.startswith("winnow score: ")
    assert said in line
    assert not Path("winnow_score").exists()


@pytest.mark.parametrize("name", ["audio/a.wav", "index.html", "scores.csv"])
def test_what_it_did_not_write_is_not_replaced(score, name):
    write("audio/a.wav")
    path = Path("out", name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody's")
    code, [line] = score("audio", "--out", "out")
    assert code == 2
    assert f"--out out: holds {Path(name).parts[0]}, which would be replaced" in line
    assert path.read_bytes() == b"somebody's"


def test_only_the_first_minute_is_kept_to_be_played(score):
    write("long.wav", 61 * RATE)
    assert score("long.wav")[0] == 0
    [voice] = Path("winnow_score/audio").glob("*.voice.toy.wav")
    assert soundfile.info(voice).frames == 60 * RATE
    assert table().loc["long.wav", "seconds"].tolist() == [61, 61]


def test_the_mixture_alone_can_be_rated(score):
    write("a.wav")
    assert score("a.wav", "--model", "mixture")[0] == 0
    assert table().index.tolist() == [("a.wav", "mixture")]
    page = Links(Path("winnow_score/index.html"))
    assert len(page.players) == 1
    assert all((Path("winnow_score") / link).is_file() for link in page.links)


def test_two_runs_at_once_keep_the_ratings_of_both(tmp_path):
    one, two = (ratings.Subject("a.wav", system, "1", "2") for system in ("toy", "free"))
    found = dict.fromkeys(dnsmos.NAMES, 2.5)
    with ratings.Ratings(tmp_path) as first, ratings.Ratings(tmp_path) as second:
        first.add(one, RATE, 1.0, found)
        second.add(two, RATE, 1.0, found)
    with ratings.Ratings(tmp_path) as again:
        assert again.has(one)
        assert again.has(two)


def test_ratings_of_names_of_any_bytes_are_read_again(tmp_path):
    names = ["a,b\n.wav", "caf\udce9.wav", 'quo"te.wav']
    found = dict.fromkeys(dnsmos.NAMES, 2.5)
    subjects = [ratings.Subject(name, "toy", "1", "2") for name in names]
    with ratings.Ratings(tmp_path) as held:
        for subject in subjects:
            held.add(subject, RATE, 1.0, found)
    with ratings.Ratings(tmp_path) as held:
        assert all(held.has(subject) for subject in subjects)
        assert not held.has(subjects[0]._replace(system_sha256="3"))
        assert not held.has(subjects[0]._replace(recording_sha256="3"))
        assert held.table(names, ["toy"])["recording"].tolist() == names

"""Which recordings a command line means, and where their outputs go."""

from pathlib import Path

import pytest

from local.base.errors import UserError
from local.separation import outputs

BOTH = ("voice", "noise")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A function that makes files below the current directory, which is a new one."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return make


def sources(jobs):
    return [str(job.source) for job in jobs]


def paths(jobs):
    return [str(path) for job in jobs for path in job.outputs.values()]


def test_outputs_lie_beside_a_file(here):
    here("a b.WAV", "c/d.x.flac")
    jobs = outputs.jobs(["a b.WAV", "c/d.x.flac"], BOTH)
    assert paths(jobs) == ["a b_voice.WAV", "a b_noise.WAV", "c/d.x_voice.flac",
                             "c/d.x_noise.flac"]  # fmt: skip
    jobs = outputs.jobs(["c/d.x.flac"], ["remix"], Path("out"), ".ogg")
    assert paths(jobs) == ["out/d.x_remix.ogg"]


def test_a_folder_is_searched_and_its_structure_kept(here):
    here("in/b.wav", "in/a/x.mp3", "in/a/deep/er/y.Flac", "in/notes.txt", "in/.hidden.wav",
         "in/.cache/z.wav", "in/none")  # fmt: skip
    jobs = outputs.jobs(["in"], ["voice"], Path("out"))
    assert sources(jobs) == ["in/a/deep/er/y.Flac", "in/a/x.mp3", "in/b.wav"]
    assert paths(jobs) == ["out/a/deep/er/y_voice.Flac", "out/a/x_voice.mp3", "out/b_voice.wav"]
    assert paths(outputs.jobs(["in"], ["voice"]))[0] == "in/a/deep/er/y_voice.Flac"


def test_patterns(here):
    here("a1.wav", "a2.wav", "b.wav", "x/y/a3.wav", "x/z/a3.wav", "[odd].wav")
    assert sources(outputs.jobs(["a?.wav"], BOTH)) == ["a1.wav", "a2.wav"]
    jobs = outputs.jobs(["x/**/a3.wav"], ["voice"], Path("out"))
    assert paths(jobs) == ["out/y/a3_voice.wav", "out/z/a3_voice.wav"]
    assert sources(outputs.jobs(["[odd].wav"], BOTH)) == ["[odd].wav"]  # a file of that name


def test_a_recording_is_taken_once(here):
    here("in/a.wav", "in/b.wav")
    assert sources(outputs.jobs(["in/b.wav", "in", "in/*.wav"], BOTH)) == ["in/b.wav", "in/a.wav"]


def test_outputs_of_another_time_are_no_inputs(here):
    here("a.wav", "a_voice.wav", "a_noise.flac", "a_remix.wav", "b_voice.wav", "sub/a_voice.wav",
         "out/sub/q.wav")  # fmt: skip
    expected = ["a.wav", "b_voice.wav", "sub/a_voice.wav"]
    assert sources(outputs.jobs(["."], BOTH, Path("out"))) == expected
    assert sources(outputs.jobs(["a_voice.wav"], BOTH)) == ["a_voice.wav"]
    assert sources(outputs.jobs(["a.wav", "a_voice.wav"], BOTH)) == ["a.wav"]


def test_what_is_left_out_is_told_unless_it_is_an_output_of_this_run(here):
    here("a.wav", "a_voice.wav", "a_noise.wav", "a_remix.flac", "b.wav")
    for out, expected in (
        (None, ["a_remix.flac"]),
        (Path("out"), ["a_noise.wav", "a_remix.flac", "a_voice.wav"]),
    ):
        left = []
        outputs.jobs(["."], BOTH, out, leave=left.append)
        assert [str(path) for path in left] == expected


def test_standard_input(here):
    [job] = outputs.jobs(["-"], ["voice"], None, ".wav")
    assert job == (Path("-"), {"voice": Path("-")})
    [job] = outputs.jobs(["-"], BOTH, Path("out"), ".raw")
    assert paths([job]) == ["out/stdin_voice.raw", "out/stdin_noise.raw"]


@pytest.mark.parametrize(
    ("words", "out", "expected"),
    [
        (["no.wav"], None, "no.wav: no such file"),
        (["a.wav", "no/folder/"], None, "no/folder: no such file"),
        (["n*.wav"], None, r"n\*.wav: no file fits"),
        (["empty"], None, "empty: holds no recordings"),
        (["a.wav", "x/a.wav"], "out", "a.wav and x/a.wav would both be written to out/a_voice.wav"),
        (["a.wav"], "a.wav", "--out a.wav: expected a folder, found a file"),
    ],
)
def test_faults(words, out, expected, here):
    here("a.wav", "x/a.wav", "empty/notes.txt")
    with pytest.raises(UserError, match=expected):
        outputs.jobs(words, BOTH, out and Path(out))


def test_outputs_that_are_there(here):
    here("a.wav", "a_voice.wav", "b.wav", "b_voice.wav", "b_noise.wav", "c.wav")
    jobs = outputs.jobs(["a.wav", "b.wav", "c.wav"], BOTH)
    with pytest.raises(UserError, match=r"a_voice.wav: exists already \(and 2 more\); --overwri"):
        outputs.settle(jobs, False, False)
    assert outputs.settle(jobs, True, False) == jobs
    assert sources(outputs.settle(jobs, False, True)) == ["a.wav", "c.wav"]
    assert outputs.settle(jobs[2:], False, False) == jobs[2:]


def test_a_folder_in_the_place_of_an_output_is_never_replaced(here):
    here("a.wav", "a_voice.wav/precious")
    for overwrite in (True, False):
        with pytest.raises(UserError, match=r"a_voice\.wav: expected a file to write, found a fol"):
            outputs.settle(outputs.jobs(["a.wav"], BOTH), overwrite, not overwrite)

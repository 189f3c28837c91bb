"""The program winnow on folders as they are: names, pipes, links, files cut off, other formats."""

import os
import threading

import numpy as np
import pytest
import soundfile

from local.separation import batch

RATE = 8000
ODD = os.fsdecode(b"caf\xe9.wav")


def noise(frames=8000, seed=0):
    return np.random.default_rng(seed).integers(-9000, 9000, frames, np.int16)


def write(path, frames=8000, **options):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        form = {"format": os.path.splitext(path)[1][1:].upper()} | options
        soundfile.write(file, noise(frames), RATE, **form)


def length(path):
    with open(path, "rb") as file:
        return soundfile.info(file).frames


def cut(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)


def test_a_name_that_is_not_utf_8_is_separated_as_any_other(winnow):
    write(f"in/{ODD}")
    write("in/z.wav")
    folder = os.fsdecode(b"\xff")
    code, lines = winnow("in", "--out", folder)
    assert (code, len(lines)) == (0, 1)
    assert sorted(os.listdir(os.fsencode(folder))) == [
        b"caf\xe9_noise.wav", b"caf\xe9_voice.wav", b"z_noise.wav", b"z_voice.wav",
    ]  # fmt: skip
    with open(b"\xff/caf\xe9_voice.wav", "rb") as file:
        voice = soundfile.read(file, dtype="int16")[0]
    np.testing.assert_allclose(voice, 0.75 * noise(), atol=1)


def test_a_line_about_such_a_name_can_be_shown(winnow):
    for name in (ODD, "two\nlines.wav"):
        with open(name, "w") as file:
            file.write("not a sound")
    code, lines = winnow(".")
    assert code == 1
    assert lines[1:] == [
        r"winnow: caf\xe9.wav: cannot be read (Format not recognised.)",
        r"winnow: two\nlines.wav: cannot be read (Format not recognised.)",
        "winnow: 2 of 2 recordings could not be separated",
    ]
    code, [line] = winnow(os.fsdecode(b"\xe9"))
    assert (code, line) == (2, r"winnow: \xe9: no such file")


def test_the_longest_names_are_written_and_longer_ones_refused_before_the_work(winnow):
    longest = "a" * (255 - len("_voice.wav"))
    write(f"{longest}.wav")
    assert winnow(f"{longest}.wav")[0] == 0
    assert len(f"{longest}_voice.wav") == 255
    assert length(f"{longest}_voice.wav") == 8000
    write("in/a.wav")
    write(f"in/{longest}b.wav")
    code, [line] = winnow("in")
    assert code == 2
    assert "would have a name of 256 bytes, expected at most 255; rename the recording" in line
    assert len(os.listdir("in")) == 2


CUT = {  # file -> size that is left, samples that are there, of how many
    "a.wav": (44 + 2 * 5000, "5000 of 8000"),
    "a.au": (24 + 2 * 4999, "4999 of 8000"),
    "a.aiff": (54 + 2 * 1, "1 of 8000"),
    "a.w64": (104 + 2 * 7999, "7999 of 8000"),
}


@pytest.mark.parametrize("name", CUT)
def test_what_was_cut_off_is_separated_and_told(name, winnow):
    write(name, **({"subtype": "PCM_16", "format": "AIFF"} if name == "a.aiff" else {}))
    size, samples = CUT[name]
    cut(name, size)
    code, lines = winnow(name)
    assert code == 1
    expected = f"winnow: {name}: is cut off or damaged: {samples} samples are there"
    assert lines[1:] == [expected]
    stem, suffix = os.path.splitext(name)
    left = int(samples.split()[0])
    voice = soundfile.read(f"{stem}_voice{suffix}", dtype="int16")[0]
    np.testing.assert_allclose(voice, 0.75 * noise()[:left], atol=1)
    assert length(f"{stem}_noise{suffix}") == left


@pytest.mark.parametrize("rate", [RATE, 16000])
@pytest.mark.parametrize("suffix", ["flac", "mp3", "ogg"])
def test_what_was_cut_off_inside_a_stream(suffix, rate, winnow):
    """The first half is there, to within the blocks of the codec."""
    with open(f"a.{suffix}", "wb") as file:
        soundfile.write(file, noise(20 * RATE), rate, format=suffix)
    cut(f"a.{suffix}", os.path.getsize(f"a.{suffix}") // 2)
    write("b.wav")
    code, lines = winnow(".", "--format", "wav")
    assert code == 1
    [line] = [line for line in lines if line.startswith(f"winnow: a.{suffix}")]
    voice = length("a_voice.wav")
    assert abs(voice / (20 * RATE) - 0.5) < 0.1
    of = "a number that it does not say" if suffix == "ogg" else 20 * RATE
    assert line.endswith(f": is cut off or damaged: {voice} of {of} samples are there")
    assert length("a_noise.wav") == voice
    assert length("b_voice.wav") == 8000
    assert lines[-1] == "winnow: 1 of 2 recordings were cut off; what is there was separated"


def test_a_flac_is_read_up_to_the_block_that_is_damaged(winnow):
    """Its blocks are of 4096 samples; what is decoded of a piece before the fault is not lost."""
    write("a.flac", 20000)
    cut("a.flac", os.path.getsize("a.flac") * 7 // 10)
    assert winnow("a.flac")[0] == 1
    voice = soundfile.read("a_voice.flac", dtype="int16")[0]
    assert len(voice) == 3 * 4096
    np.testing.assert_allclose(voice, 0.75 * noise(20000)[: 3 * 4096], atol=1)


def test_a_flac_that_does_not_say_its_length(winnow):
    write("a.flac", 20000)
    with open("a.flac", "r+b") as file:  # the last 36 bits before the checksum of STREAMINFO
        data = bytearray(file.read(26))
        data[21] &= 0xF0
        data[22:26] = bytes(4)
        file.seek(0)
        file.write(data)
    code, lines = winnow("a.flac")
    assert (code, len(lines)) == (0, 1)
    assert length("a_voice.flac") == 20000


def test_samples_behind_a_size_of_0(winnow):
    write("a.wav")
    with open("a.wav", "r+b") as file:
        file.seek(40)
        file.write(bytes(4))
    code, lines = winnow("a.wav")
    assert code == 0
    assert lines[1:] == ["winnow: a.wav: says that it holds no samples; 8000 are there"]
    assert length("a_voice.wav") == 8000


def test_formats_that_soundfile_does_not_read_are_named_with_what_to_do(winnow):
    write("in/a.wav")
    for name in ("in/b c.m4a", "in/deep/d.MP4", "in/a.webm", "in/notes.txt"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        open(name, "w").close()
    code, lines = winnow("in", "--out", "out")
    assert code == 1
    assert lines[0] == (
        "winnow: in/b c.m4a: soundfile does not read .m4a; convert it:"
        " ffmpeg -i 'in/b c.m4a' 'in/b c.wav'"
    )
    assert lines[1].startswith("winnow: in/deep/d.MP4: soundfile does not read .MP4; convert it: ")
    assert lines[3:] == ["winnow: 2 of 3 recordings could not be separated"]
    assert sorted(os.listdir("out")) == ["a_noise.wav", "a_voice.wav"]
    for words in (["in/b c.m4a"], ["in/*.m4a"]):
        code, [line] = winnow(*words)
        assert (code, line) == (1, lines[0])


def test_what_is_no_regular_file_in_a_folder_is_named(winnow):
    write("in/a.wav")
    os.mkfifo("in/b.wav")
    os.symlink("nowhere", "in/c.wav")
    os.symlink("d.wav", "in/d.wav")
    os.symlink("/dev/zero", "in/e.wav")
    os.mkdir("in/f.wav")
    os.symlink("..", "in/up")
    os.mkfifo("in/control")
    expected = [
        "winnow: in/b.wav: expected a recording, found a pipe",
        "winnow: in/c.wav: expected a recording, found a link to nothing",
        "winnow: in/d.wav: expected a recording, found a link that leads to itself",
        "winnow: in/e.wav: expected a recording, found a device",
        "winnow: in/f.wav: expected a recording, found a folder",
        "winnow: in/up: is a link to a folder, and is not searched",
    ]
    code, lines = winnow("in", "--out", "out")
    assert code == 1
    assert sorted(lines[:6]) == expected
    assert sorted(os.listdir("out")) == ["a_noise.wav", "a_voice.wav"]
    code, lines = winnow("in/*", "--out", "out", "--overwrite")
    assert code == 1
    assert sorted(lines[:5]) == expected[:5]
    code, [line] = winnow("/dev/zero")
    assert (code, line) == (2, "winnow: /dev/zero: expected a recording, found a device")


def test_a_pipe_given_by_name(winnow):
    """As ``<(command)`` of a shell gives it, and one in the folder."""
    write("a.wav")
    with open("a.wav", "rb") as file:
        data = file.read()
    os.mkfifo("b.wav")
    reader, writer = os.pipe()
    ends = [writer, "b.wav"]

    def feed(end):
        with open(end, "wb") as file:
            file.write(data)

    threads = [threading.Thread(target=feed, args=(end,), daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    code, lines = winnow(f"/dev/fd/{reader}", "b.wav")
    os.close(reader)
    assert (code, lines[1:]) == (0, [])
    for stem in (str(reader), "b"):
        voice = soundfile.read(f"{stem}_voice.wav", dtype="int16")[0]
        np.testing.assert_allclose(voice, 0.75 * noise(), atol=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "interrupted; the same command continues with --skip-existing"),
        (["--skip-existing"], "interrupted; the same command continues"),
        (["--overwrite"], "interrupted; the same command starts again"),
    ],
)
def test_what_is_said_after_an_interruption_is_true(options, expected, winnow, monkeypatch):
    write("in/a.wav")
    write("in/b.wav")
    process = batch._process

    def interrupt(job, *args):
        if job.source.name == "b.wav":
            raise KeyboardInterrupt
        return process(job, *args)

    monkeypatch.setattr(batch, "_process", interrupt)
    code, lines = winnow("in", *options)
    assert (code, lines[-1]) == (130, f"winnow: {expected}")
    monkeypatch.setattr(batch, "_process", process)
    before = os.stat("in/a_voice.wav").st_mtime_ns
    again = options or ["--skip-existing"]
    assert winnow("in", *again)[0] == 0
    assert os.path.exists("in/b_voice.wav")
    continued = os.stat("in/a_voice.wav").st_mtime_ns == before
    assert continued is ("continues" in expected)

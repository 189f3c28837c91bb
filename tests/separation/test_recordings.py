"""Formats, levels and tags of recordings survive; what cannot be read or written is one line."""

import errno
import io
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from local.base.errors import UserError
from local.separation import recordings
from local.separation.recordings import Format, Pcm, Recording, Spool

RATE = 16000
FORMATS = [
    ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_U8"), ("wav", "FLOAT"), ("wav", "ULAW"),
    ("flac", "PCM_16"), ("flac", "PCM_24"), ("aiff", "PCM_16"), ("caf", "PCM_32"),
    ("au", "FLOAT"), ("w64", "DOUBLE"), ("ogg", "VORBIS"), ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"),
]  # fmt: skip
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_III", "ULAW")


def tones(frames=4000, channels=1):
    time = np.arange(frames)[:, None]
    return (0.3 * np.sin(0.05 * (1 + np.arange(channels)) * time)).astype(np.float32)


def samples(recording, *channels):
    return np.concatenate([block.numpy() for block in recording.blocks(*channels)], 1)


def filled(folder, *outputs):
    """A spool of outputs (channel, time)."""
    spool = Spool(folder, len(outputs), *outputs[0].shape)
    spool.write(np.stack(outputs), 0, 0)
    return spool


def copy(source, target, gain=1.0):
    """Through all that an estimate goes through."""
    with Recording(source) as recording, filled(target.parent, samples(recording)) as spool:
        recordings.write(spool, [target], Format.of(recording), recording.tags, gain)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_format_rate_and_samples_survive(suffix, subtype, channels, tmp_path):
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    soundfile.write(source, tones(channels=channels), RATE, subtype)
    copy(source, target)
    a, b = soundfile.info(source), soundfile.info(target)
    for name in ("samplerate", "channels", "frames", "format", "subtype", "endian"):
        assert getattr(a, name) == getattr(b, name)
    before, after = (soundfile.read(path, always_2d=True)[0] for path in (source, target))
    np.testing.assert_allclose(after, before, atol=0.1 if subtype in LOSSY else 0)


def test_every_16_bit_integer_survives(tmp_path):
    integers = np.arange(-32768, 32768, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", integers, RATE)
    copy(tmp_path / "a.wav", tmp_path / "b.wav")
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav", dtype="int16")[0], integers)


TAGS = {"title": "Tür", "artist": "A", "album": "B", "comment": "c d", "date": "2020",
        "tracknumber": "3", "genre": "g"}  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "kept"),
    [("wav", TAGS), ("flac", TAGS), ("ogg", TAGS), ("w64", {}), ("au", {}),
     ("aiff", {"title", "artist", "comment"}), ("mp3", set(TAGS) - {"title"})],
)  # fmt: skip
def test_tags_are_kept_where_the_format_can(suffix, kept, tmp_path):
    """mp3: libsndfile keeps plain ASCII only."""
    soundfile.write(tmp_path / "a.wav", tones(), RATE)
    with Recording(tmp_path / "a.wav") as recording, filled(tmp_path, tones().T) as spool:
        form = Format.of(recording, suffix.upper())
        recordings.write(spool, [tmp_path / f"b.{suffix}"], form, TAGS)
    with Recording(tmp_path / f"b.{suffix}") as copied:
        found = {name: value for name, value in copied.tags.items() if name in TAGS}
    assert found == {name: TAGS[name] for name in kept}


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 5), st.integers(1, 700), st.data())
def test_channels_and_blocks(tmp_path_factory, frames, channels, block, data):
    path = tmp_path_factory.mktemp("x") / "a.wav"
    expected = tones(frames, channels)
    soundfile.write(path, expected, RATE, "FLOAT")
    first = data.draw(st.integers(0, channels - 1))
    size, recordings.BLOCK = recordings.BLOCK, block
    try:
        with Recording(path) as recording:
            np.testing.assert_array_equal(samples(recording), expected.T)
            two = samples(recording, slice(first, first + 2))
            np.testing.assert_array_equal(two, expected.T[first : first + 2])
        with Recording(path, mono=True) as recording:
            assert recording.channels == 1
            np.testing.assert_allclose(samples(recording)[0], expected.mean(1), atol=1e-6)
    finally:
        recordings.BLOCK = size


def test_64_channels_and_192_khz(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(1000, 64), 192000, "PCM_24")
    copy(tmp_path / "a.wav", tmp_path / "b.wav")
    a, b = (soundfile.read(tmp_path / name) for name in ("a.wav", "b.wav"))
    assert a[1] == b[1] == 192000
    np.testing.assert_array_equal(a[0], b[0])


def make(path, kind):
    if kind == "text":
        path.write_text("not a sound")
    elif kind == "nothing":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "empty":
        soundfile.write(path, tones()[:0], RATE)
    elif kind == "1 Hz":
        soundfile.write(path, tones(), 1)
    elif kind == "1 MHz":
        soundfile.write(path, tones(), 1_000_000)
    elif kind == "cut off":
        soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 99999), RATE, format="FLAC")
        path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("text", "cannot be read"), ("nothing", "cannot be read"), ("missing", "not there"),
        ("folder", "found a folder"), ("empty", "holds no samples"),
        ("1 Hz", "expected 1000 to 768000 Hz, found 1 Hz"), ("1 MHz", "found 1000000 Hz"),
        ("cut off", "cannot be read .*lost sync"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(kind, expected, tmp_path):
    path = tmp_path / "a.wav"
    make(path, kind)
    with pytest.raises(UserError, match=expected):
        samples(Recording(path))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("WAV", "PCM_24", "FILE", 44100)),
        ({"rate": 8000}, ("WAV", "PCM_24", "FILE", 8000)),
        ({"format": "FLAC"}, ("FLAC", "PCM_24", "FILE", 44100)),
        ({"format": "MP3"}, ("MP3", "MPEG_LAYER_III", "FILE", 44100)),
        ({"format": "OGG"}, ("OGG", "VORBIS", "FILE", 44100)),
        ({"format": "FLAC", "subtype": "PCM_16"}, ("FLAC", "PCM_16", "FILE", 44100)),
        ({"subtype": "FLOAT"}, ("WAV", "FLOAT", "FILE", 44100)),
    ],
)
def test_the_recordings_own_format_but_for_what_is_given(given, expected, tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(), 44100, "PCM_24")
    with Recording(tmp_path / "a.wav") as recording:
        assert Format.of(recording, **given) == expected


def test_an_mp3_as_a_wav(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tones(), 44100)
    with Recording(tmp_path / "a.mp3") as recording:
        assert Format.of(recording, "WAV") == ("WAV", "PCM_16", "FILE", 44100)


def test_formats_that_cannot_be(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(), 44100)
    with Recording(tmp_path / "a.wav") as recording:
        with pytest.raises(UserError, match="cannot be written as FLAC FLOAT; choose another"):
            Format.of(recording, "FLAC", "FLOAT")
        with pytest.raises(UserError, match="FLAC PCM_16 of 64 channels at 44100 Hz"):
            Format.of(recording, "FLAC").check(64, 1000)
        with pytest.raises(UserError, match="OGG OPUS of 1 channels at 44100 Hz"):
            Format.of(recording, "OGG", "OPUS").check(1, 1000)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("count", [1, 2])
def test_an_ogg_of_several_recordings(subtype, count, tmp_path):
    one = io.BytesIO()
    soundfile.write(one, tones(), 48000, subtype, format="OGG")
    (tmp_path / "a.ogg").write_bytes(one.getvalue() * count)
    with Recording(tmp_path / "a.ogg") as recording:
        assert recording.frames == len(tones())
        assert recording.cut == (count == 2)
        said = f"several recordings one behind the other: the first can be read, {len(tones())} sam"
        assert [said in remark for remark in recording.remarks] == [True] * recording.cut


@pytest.mark.parametrize("gigabytes", [3, 5])
def test_a_wav_of_more_than_4_gib_that_does_not_say_its_size(gigabytes, tmp_path):
    """As ffmpeg writes it; a hole stands for the samples."""
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 2)), 48000)
    head = bytearray((tmp_path / "a.wav").read_bytes()[:44])
    head[4:8] = head[40:44] = b"\xff" * 4
    with open(tmp_path / "a.wav", "wb") as file:
        file.write(head)
        file.truncate(44 + gigabytes * 2**30)
    with Recording(tmp_path / "a.wav", mono=True) as recording:
        assert recording.cut == (gigabytes == 5)
        assert recording.frames == min(gigabytes * 2**28, 2**30 - 1)
        said = f"says no size: {2**30 - 1} of {5 * 2**28} samples can be read"
        assert [said in remark for remark in recording.remarks] == [True] * recording.cut


@pytest.mark.parametrize(
    ("format", "subtype", "channels", "most"),
    [("WAV", "FLOAT", 2, 2**29), ("WAVEX", "PCM_24", 1, 2**32 // 3), ("AIFF", "DOUBLE", 4, 2**27)],
)
def test_more_samples_than_a_size_of_32_bits_can_tell(format, subtype, channels, most):
    Format(format, subtype, "FILE", RATE).check(channels, most - 2**20)
    with pytest.raises(UserError, match=f"4.0 GiB of samples, and a file in the format {format} h"):
        Format(format, subtype, "FILE", RATE).check(channels, most)
    Format("W64", subtype, "FILE", RATE).check(channels, most)
    Format("RF64", subtype, "FILE", RATE).check(channels, most)


def test_what_clips():
    assert Format("WAV", "PCM_16", "FILE", RATE).limit == 1 + 2**-15
    assert Format("WAV", "PCM_24", "FILE", RATE).limit == 1 + 2**-23
    assert Format("WAV", "FLOAT", "FILE", RATE).limit == math.inf


def test_all_outputs_or_none(tmp_path):
    with filled(tmp_path, tones().T, tones().T) as spool:
        form = Format("WAV", "PCM_16", "FILE", RATE)
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="file"):
            recordings.write(spool, [tmp_path / "a.wav", tmp_path / "file" / "b.wav"], form, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk_is_told_and_leaves_nothing(suffix, tmp_path):
    """A limit on the size of files stands for it: writing fails in the same place."""
    program = f"""
import resource, pathlib, numpy as np
from local.separation import recordings
folder = pathlib.Path({str(tmp_path)!r})
spool = recordings.Spool(folder, 1, 1, 80000)
spool.write(np.random.default_rng(0).uniform(-1, 1, (1, 1, 80000)).astype("f4"), 0, 0)
spool.read(0, 0, 80000)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
form = recordings.Format({suffix.upper()!r}, recordings.soundfile.default_subtype({suffix!r}),
                         "FILE", 16000)
try:
    recordings.write(spool, [folder / "a.{suffix}"], form, {{}})
except OSError as error:
    print(error.strerror)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stderr == ""
    assert process.stdout.strip() == os.strerror(errno.EFBIG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s16le", ("s16le", None, 1)), ("f32le:8000", ("f32le", 8000, 1)),
        ("s24le:48000:2", ("s24le", 48000, 2)),
    ],
)  # fmt: skip
def test_samples_without_a_header(text, expected):
    pcm = Pcm.parse(text)
    assert pcm == expected
    assert pcm.options(16000)["samplerate"] == expected[1] or 16000


@pytest.mark.parametrize("text", ["", "s16", "s16le:", "s16le:0", "s16le:x", "s16le:8000:2:1"])
def test_what_says_no_samples(text):
    with pytest.raises(ValueError):  # noqa: PT011
        Pcm.parse(text)

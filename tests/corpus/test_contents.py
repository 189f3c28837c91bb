"""What files hold: counts, levels, every fault by a file that has it, and copies."""

import shutil

import numpy as np
import pytest
import soundfile
from sound_folders import make_noises, make_voices, put, voice
from triplet_trees import RATE

from local.corpus import contents, sources
from local.corpus.sources import NOISES, VOICES
from local.corpus.wav import Fault


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg"])
@pytest.mark.parametrize("seconds", [0.05, 1.0, 1.234])
def test_counts_and_levels(tmp_path, monkeypatch, name, seconds):
    monkeypatch.setattr(contents, "BLOCK", 2000)  # several blocks, none a whole number of frames
    x = voice(0, seconds)
    soundfile.write(tmp_path / name, x, RATE)
    found = contents.listen(tmp_path / name)
    assert (found.rate, found.frames, found.unclosed) == (RATE, len(x), False)
    frames = [x[i : i + 800] for i in range(0, len(x), 800)]
    assert len(found.levels) == len(frames)
    if not name.endswith("ogg"):
        np.testing.assert_allclose(found.levels, [np.mean(f**2) for f in frames], rtol=1e-2)


def test_the_digest_is_that_of_the_samples(tmp_path):
    put(tmp_path / "a.wav", voice(0))
    put(tmp_path / "b.flac", voice(0))
    put(tmp_path / "c.wav", voice(0), 2 * RATE)
    put(tmp_path / "d.wav", voice(1))
    a, b, c, d = (contents.listen(path).digest for path in sorted(tmp_path.iterdir()))
    assert a == b
    assert len({a, c, d}) == 3


def two_channels(path):
    soundfile.write(path, np.stack([voice(0), voice(1)], 1), RATE)


@pytest.mark.parametrize(
    ("breaker", "reason"),
    [
        (lambda path: path.write_text("no sound"), "not a wav"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.mkdir(), "no regular file"),
        (lambda path: put(path, np.zeros(1000)), "silent voice or noise"),
        (lambda path: put(path, np.full(1000, 0.1)), "silent voice or noise"),
        (lambda path: put(path, voice(0), 100), "sample rate out of range"),
        (lambda path: soundfile.write(path, np.full(900, np.nan), RATE, "FLOAT"), "NaN or infin"),
        (lambda path: soundfile.write(path, np.full(900, 1e30), RATE, "FLOAT"), "NaN or infin"),
        (two_channels, "several channels"),
        (lambda path: path.write_bytes(put(path, voice(0)).read_bytes()[:-100]), "truncated"),
    ],
)
def test_faults(tmp_path, breaker, reason):
    breaker(tmp_path / "x.wav")
    with pytest.raises(Fault, match=reason):
        contents.listen(tmp_path / "x.wav")


def test_a_damaged_file_of_another_format(tmp_path):
    (tmp_path / "x.flac").write_bytes(put(tmp_path / "y.flac", voice(0)).read_bytes()[:2000])
    with pytest.raises(Fault, match=r"truncated|unreadable|not a sound file"):
        contents.listen(tmp_path / "x.flac")


def test_an_mp3_whose_length_and_place_are_not_known(tmp_path):
    soundfile.write(tmp_path / "x.mp3", voice(1, 0.5), 16000)
    damaged = bytearray((tmp_path / "x.mp3").read_bytes())
    damaged[damaged.index(b"Xing") + 7] = 0b11011  # which fields follow
    (tmp_path / "x.mp3").write_bytes(damaged)
    with pytest.raises(Fault, match="truncated"):
        contents.listen(tmp_path / "x.mp3")


@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_of_several_and_the_only_one(tmp_path, channel):
    two_channels(tmp_path / "two.flac")
    put(tmp_path / "one.wav", voice(channel))
    one, two = (contents.listen(tmp_path / name, channel) for name in ("one.wav", "two.flac"))
    assert one.digest == two.digest
    with pytest.raises(Fault, match="several channels"):
        contents.listen(tmp_path / "two.flac", 2)


def gather(tmp_path, channel=None):
    folders = {}
    for kind, make in ((VOICES, make_voices), (NOISES, make_noises)):
        root = tmp_path / kind.option
        if not root.exists():
            make(root, 3)
        folders[kind] = root, sources.find(root, kind)
    return contents.gather(folders, channel)


def test_all_is_kept_in_order(tmp_path):
    kept, rejections = gather(tmp_path)
    assert rejections == []
    assert [recording.file.path for recording in kept] == [
        *(f"s{i}/{k}.wav" for i in (1, 2, 3) for k in (0, 1)),
        *(f"n{i}.flac" for i in (1, 2, 3)),
    ]


def test_a_copy_is_no_second_recording(tmp_path):
    """Under another name, format or speaker it would leak from one split into another."""
    make_voices(tmp_path / "voices", 3)
    shutil.copy(tmp_path / "voices/s1/0.wav", tmp_path / "voices/s3/7.wav")
    put(tmp_path / "noises" / "deep" / "x.flac", voice(10))
    make_noises(tmp_path / "noises", 3)
    kept, rejections = gather(tmp_path)
    assert len(kept) == 9
    assert [tuple(rejection) for rejection in rejections] == [
        ("voices", "s3", "7.wav", "copy of another file", "samples of its own",
         "those of voices: s1/0.wav"),
        ("noises", "deep", "x.flac", "copy of another file", "samples of its own",
         "those of voices: s2/0.wav"),
    ]  # fmt: skip


def test_a_voice_without_a_speaker_is_rejected(tmp_path):
    make_voices(tmp_path / "voices", 3)
    put(tmp_path / "voices" / "0.wav", voice(99))
    kept, (rejection,) = gather(tmp_path)
    assert len(kept) == 9
    assert (rejection.file, rejection.reason) == ("0.wav", "no speaker")


def test_processes_find_the_same(tmp_path, monkeypatch):
    alone = gather(tmp_path)
    monkeypatch.setattr(contents, "BYTES_PER_WORKER", 1)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    together = gather(tmp_path)
    assert [r.content.digest for r in together[0]] == [r.content.digest for r in alone[0]]

"""Sizes in headers: what was cut off, what nobody wrote, and samples behind a size of 0."""

import struct

import numpy as np
import pytest
import soundfile

from local.base import audio, sound_header

FRAMES = 16000
BYTES = 2 * FRAMES
HEADERS = {  # format of soundfile -> bytes before the samples
    "WAV": 44, "RF64": 104, "AIFF": 54, "AU": 24, "W64": 104, "CAF": 4096, "NIST": 1024,
}  # fmt: skip


def noise():
    return np.random.default_rng(0).integers(-9000, 9000, FRAMES, np.int16)


def make(path, form="WAV"):
    soundfile.write(path, noise(), 16000, "PCM_16", format=form)
    return bytearray(path.read_bytes())


def find(path):
    with open(path, "rb") as file:
        return sound_header.find(file)


def read(path):
    with audio.open_sound(path) as file:
        return file.read(dtype="int16")


@pytest.mark.parametrize("form", HEADERS)
def test_what_is_missing_is_told_to_the_byte(form, tmp_path):
    path = tmp_path / "a.x"
    data = make(path, form)
    start = len(data) - BYTES if form not in ("AIFF", "WAV", "RF64") else HEADERS[form]
    assert find(path)[:2] == (start, BYTES)
    assert find(path).missing == 0
    for length in (1, 3, 1000, BYTES - 1):
        path.write_bytes(data[: start + length])
        assert find(path).missing == BYTES - length
        assert find(path).held == length


@pytest.mark.parametrize(
    "size",
    [0x7FFFFFFF, 0x80000000, 0x7FFFFF00, 0x7FFFF000, 0x7FFFFFDB, 0xFFFFFFFF, 0xFFFFFFDB,
     0xFFFFF000, BYTES + 44, BYTES + 36],
)  # fmt: skip
def test_a_size_that_nobody_knew(size, tmp_path):
    path = tmp_path / "a.wav"
    data = make(path)
    data[40:44] = struct.pack("<I", size)
    path.write_bytes(data)
    assert (find(path).promised, find(path).missing) == (None, 0)
    np.testing.assert_array_equal(read(path), noise())


@pytest.mark.parametrize("excess", [2, 34, 46, 1000, 10**9])
def test_a_size_that_was_known_and_is_not_there(excess, tmp_path):
    path = tmp_path / "a.wav"
    data = make(path)
    data[40:44] = struct.pack("<I", BYTES + excess)
    path.write_bytes(data)
    assert find(path).missing == excess


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
def test_samples_behind_a_size_of_0(riff, tmp_path):
    path = tmp_path / "a.wav"
    data = make(path)
    data[4:8], data[40:44] = struct.pack("<I", riff), bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(read(path), noise())
    x, rate = audio.read(path, 5000, 300)
    assert rate == 16000
    np.testing.assert_array_equal(x, noise()[5000:5300] / np.float32(32768))


def test_samples_behind_a_size_of_0_in_64_bits(tmp_path):
    path = tmp_path / "a.wav"
    data = make(path, "RF64")
    at = data.index(b"data")
    data[28:36], data[at + 4 : at + 8] = bytes(8), b"\xff" * 4
    path.write_bytes(data)
    np.testing.assert_array_equal(read(path), noise())


def test_no_samples_and_a_chunk_behind_them(tmp_path):
    path = tmp_path / "a.wav"
    head = make(path)[:40]
    path.write_bytes(head + bytes(4) + b"LIST" + struct.pack("<I", 5) + b"INFOa\0")
    assert find(path).patch == {}
    assert len(read(path)) == 0


@pytest.mark.parametrize("length", [12, 20, 40, 43])
def test_a_header_that_was_cut_off(length, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(make(path)[:length])
    with pytest.raises(EOFError):
        find(path)


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3", "VOC"])
def test_formats_that_say_it_otherwise(form, tmp_path):
    path = tmp_path / "a.x"
    soundfile.write(path, noise(), 16000, format=form)
    assert find(path) is None


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_its_last_page(subtype, tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.tile(noise(), 20), 16000, subtype)
    data = path.read_bytes()
    last = data.rindex(b"OggS")
    for whole, size in ((True, len(data)), (False, len(data) - 1), (False, last), (False, 9000)):
        path.write_bytes(data[:size])
        with open(path, "rb") as file:
            assert sound_header.is_cut_ogg(file) is not whole
    path.write_bytes(data + b"TAG" + bytes(125))  # what other programs put behind it
    with open(path, "rb") as file:
        assert not sound_header.is_cut_ogg(file)

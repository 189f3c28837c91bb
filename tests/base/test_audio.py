"""Sound files keep their samples; resampling keeps the sound."""

import errno
import resource
import sys

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from local.base import audio
from local.base.errors import UserError

RATE = 16000


def every_integer():
    return np.arange(-32768, 32768, dtype=np.int16)


def test_every_16_bit_integer_survives(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, every_integer(), RATE)
    samples, rate = audio.read(path)
    assert rate == RATE
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, every_integer() / 32768)
    audio.write(tmp_path / "y.wav", samples, rate)
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "y.wav", dtype="int16")[0], every_integer()
    )


@pytest.mark.parametrize(("subtype", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23)])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_integers_are_rounded_to_the_nearest(subtype, step, suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    x = np.random.default_rng(0).uniform(-0.9, 0.9, 4000)
    audio.write(path, x, RATE, subtype)
    error = soundfile.read(path)[0] - x
    assert np.abs(error).max() <= step / 2
    assert abs(error.mean()) < step / 20
    assert soundfile.info(path).subtype == subtype


def test_beyond_full_scale(tmp_path):
    x = np.array([0.5, 1.0, 1.5, -1.0, -7.0, np.inf])
    audio.write(tmp_path / "x.wav", x, RATE)
    full = 32767 / 32768
    np.testing.assert_array_equal(
        audio.read(tmp_path / "x.wav")[0], [0.5, full, full, -1, -1, full]
    )
    audio.write(tmp_path / "y.wav", x, RATE, "FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "y.wav")[0], x)


def test_nan_is_refused_and_nothing_written(tmp_path):
    path = tmp_path / "x.wav"
    audio.write(path, np.ones(3) / 2, RATE)
    before = path.read_bytes()
    with pytest.raises(UserError, match="NaN"):
        audio.write(path, np.array([0.0, np.nan]), RATE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("x.sound", UserError, "x.sound: cannot be written"),
        ("x", UserError, "x: cannot be written"),
        ("file/x.wav", FileExistsError, "file"),
    ],
)
def test_places_that_cannot_be_written_to(name, kind, words, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(kind, match=words):
        audio.write(tmp_path / name, np.zeros(3), RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_no_room_is_told_as_the_system_tells_it(subtype, tmp_path, monkeypatch):
    """libsndfile itself says "System error", or nothing."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    audio.write(tmp_path / "x.wav", np.zeros(10), RATE, subtype)
    whole = (tmp_path / "x.wav").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            audio.write(tmp_path / "x.wav", np.zeros(10_000), RATE, subtype)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(tmp_path / "x.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]
    assert (tmp_path / "x.wav").read_bytes() == whole


@pytest.mark.parametrize(
    ("start", "frames"),
    [(0, -1), (0, 0), (0, 10), (90, 10), (90, -1), (90, 50), (100, 5), (130, 5)],
)
def test_parts(start, frames, tmp_path):
    x = np.arange(100) / 128
    audio.write(tmp_path / "x.wav", x, RATE)
    expected = x[start:] if frames < 0 else x[start : start + frames]
    np.testing.assert_array_equal(audio.read(tmp_path / "x.wav", start, frames)[0], expected)


def test_channels(tmp_path):
    path = tmp_path / "x.wav"
    x = np.arange(6).reshape(3, 2) / 8
    audio.write(path, x, RATE)
    for channel in (0, 1):
        samples, _ = audio.read(path, channel=channel)
        np.testing.assert_array_equal(samples, x[:, channel])
        assert samples.flags.c_contiguous
    with pytest.raises(UserError, match="expected 1 channel, found 2"):
        audio.read(path)
    with pytest.raises(UserError, match=r"expected channel 2 .*found 2 channels"):
        audio.read(path, channel=2)


def test_what_is_no_sound_file(tmp_path):
    text = tmp_path / "x.wav"
    text.write_text("not a sound")
    for path, match in (
        (text, "cannot be read"),
        (tmp_path / "y", "not there"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(UserError, match=match):
            audio.read(path)


RATES = [(48000, 16000), (44100, 16000), (16000, 44100), (8000, 16000), (16000, 22050)]


@pytest.mark.parametrize(("rate_from", "rate_to"), RATES)
def test_a_sine_stays_a_sine(rate_from, rate_to):
    """At 0.85 of the lower Nyquist frequency, away from the ends, to -90 dB."""
    frequency = 0.85 * min(rate_from, rate_to) / 2
    x = np.sin(2 * np.pi * frequency * np.arange(rate_from) / rate_from).astype(np.float32)
    y = audio.resample(x, rate_from, rate_to)
    expected = np.sin(2 * np.pi * frequency * np.arange(rate_to) / rate_to)
    assert y.dtype == np.float32
    assert np.abs(y - expected)[1000:-1000].max() < 10 ** (-90 / 20) * np.sqrt(2)


def test_what_lies_above_the_new_nyquist_frequency_is_gone():
    x = np.sin(2 * np.pi * 8800 * np.arange(48000) / 48000)
    assert np.abs(audio.resample(x, 48000, 16000))[1000:-1000].max() < 1e-5


@pytest.mark.parametrize(("rate_from", "rate_to"), [*RATES, (16000, 16000), (3, 2)])
@pytest.mark.parametrize("length", [1, 2, 3, 100, 1001])
def test_length_and_type(rate_from, rate_to, length):
    expected = -(-length * rate_to // rate_from)
    x = torch.randn(2, 3, length, dtype=torch.float64)
    y = audio.resample(x, rate_from, rate_to)
    assert y.shape == (2, 3, expected)
    assert y.dtype == torch.float64
    z = audio.resample(x.numpy(), rate_from, rate_to)
    assert isinstance(z, np.ndarray)
    np.testing.assert_array_equal(z, y.numpy())


@pytest.mark.parametrize(("rate_from", "rate_to"), [*RATES, (3, 2), (2, 3), (191, 160)])
def test_without_a_table_the_filter_is_the_same(rate_from, rate_to, monkeypatch):
    x = torch.randn(2, 3, 1001, dtype=torch.float64)
    expected = audio.resample(x, rate_from, rate_to)
    monkeypatch.setattr(audio, "LARGEST_TABLE", 0)  # torchaudio: float32 in part
    torch.testing.assert_close(audio.resample(x, rate_from, rate_to), expected, rtol=0, atol=1e-6)


def test_large_coprime_rates_take_no_large_table():
    x = np.sin(2 * np.pi * 1000 * np.arange(16001) / 16001).astype(np.float32)
    y = audio.resample(x, 16001, 16000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert y.shape == (16000,)
    assert y.dtype == np.float32
    assert np.abs(y - expected)[1000:-1000].max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kept_filters_are_those_of_torchaudio(dtype):
    x = torch.randn(2, 500, dtype=dtype)
    for rate_from, rate_to in [(97, 100), (48000, 16000), (97, 100)]:
        expected = torchaudio.functional.resample(x, rate_from, rate_to, **audio.KAISER_BEST)
        assert torch.equal(audio.resample(x, rate_from, rate_to), expected)


def test_kept_filters_let_gradients_through():
    audio._table.cache_clear()
    with torch.inference_mode():
        audio.resample(torch.ones(100), 97, 100)
    x = torch.ones(100, requires_grad=True)
    audio.resample(x, 97, 100).sum().backward()
    assert x.grad[50:60].mean() == pytest.approx(100 / 97, rel=1e-3)


def test_equal_rates_change_nothing():
    x = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    assert audio.resample(x, 44100, 44100) is x


def test_reading_does_not_load_torch():
    import subprocess

    code = "import sys, local.base.audio, local.corpus.manifest; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

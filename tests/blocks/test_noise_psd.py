"""Noise estimators on noise of a known level."""

import pytest
import torch

from local.blocks import noise_psd, spectral_gains
from local.blocks.noise_psd import ESTIMATORS
from local.blocks.stft import STFT

RATE = 16000
TRACKING = [name for name in ESTIMATORS if name != "first_frames"]


def white(seconds: float, *batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, int(seconds * RATE), generator=generator)


def powers(signal, window=512, hop=128):
    """Power spectra (..., frequency, frame) of a signal, those of unit white noise being 1."""
    stft = STFT(window, hop)
    return stft(signal).abs().square() / stft.window.square().sum()


def level_db(estimate, start: float, end: float, hop=128):
    """Mean level in dB between two seconds, without the first and last frequencies."""
    frames = slice(int(start * RATE / hop), int(end * RATE / hop))
    return 10 * estimate[..., 2:-2, frames].mean().log10().item()


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_level_of_white_noise(name, level):
    power = powers(level * white(6))
    found = ESTIMATORS[name](power, 128 / RATE) / level**2
    assert level_db(found, 2, 6) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("name", ["first_frames", "centred_minimum"])
def test_the_level_is_right_from_the_start(name):
    power = torch.cat([powers(white(1, seed=seed)) for seed in range(20)])  # of 20 recordings
    found = ESTIMATORS[name](power.reshape(20, -1, power.shape[-1]), 128 / RATE)
    assert level_db(found, 0, 0.1) == pytest.approx(0, abs=0.7)


@pytest.mark.parametrize(("window", "hop"), [(512, 256), (1024, 256), (512, 64)])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_level_of_white_noise_in_other_frames(name, window, hop):
    found = ESTIMATORS[name](powers(white(6), window, hop), hop / RATE)
    assert level_db(found, 2, 6, hop) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("change_db", [-10, 10])
@pytest.mark.parametrize("name", TRACKING)
def test_a_change_of_level_is_followed(name, change_db):
    signal = white(8)
    signal[4 * RATE :] *= 10 ** (change_db / 20)
    found = ESTIMATORS[name](powers(signal), 128 / RATE)
    assert level_db(found, 2, 3) == pytest.approx(0, abs=0.7)
    assert level_db(found, 7, 8) == pytest.approx(change_db, abs=0.7)


@pytest.mark.parametrize("name", TRACKING)
def test_bursts_are_not_noise(name):
    """Bursts of 0.3 s, 20 dB above the noise, once a second: the mixture is at 15 dB."""
    signal = white(6)
    time = torch.arange(len(signal)) / RATE
    bursts = time % 1 > 0.7
    found = ESTIMATORS[name](powers(signal + 10 * bursts * white(6, seed=1)), 128 / RATE)
    assert level_db(found, 2, 5) < 3


def test_first_frames_are_the_mean_of_so_many_seconds():
    power = powers(white(1))
    found = noise_psd.first_frames(power, 0.01, seconds=0.05)
    torch.testing.assert_close(found, power[:, :5].mean(1, keepdim=True).expand_as(power))


def test_the_centred_minimum_is_times_its_factor():
    power = powers(white(3))
    once, more = (noise_psd.centred_minimum(power, 0.008, factor=f) for f in (1.0, 1.7))
    torch.testing.assert_close(more, 1.7 * once)
    assert level_db(more, 1, 2) == pytest.approx(-1.7, abs=0.4)


def test_the_centred_minimum_sees_as_far_forward_as_back():
    power = torch.ones(1, 301)
    power[:, 150] = 0  # smoothing at 8 ms: 0.85 there, and back to 1 within some frames
    found = noise_psd.centred_minimum(power, 0.008, reach=0.4, factor=1.0)
    low = torch.nonzero(found[0] < 0.9).flatten()
    assert (low[0], low[-1]) == (100, 200 + 2)  # 0.4 s are 50 frames; two more are below 0.9


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("shape", [(1, 1), (257, 1), (2, 3), (1, 5), (5, 300), (2, 3, 5, 7)])
def test_any_shape(name, shape):
    power = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = ESTIMATORS[name](power, 0.008)
    assert found.shape == shape
    assert found.dtype == power.dtype
    assert found.isfinite().all()
    assert (found > 0).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_silence(name):
    assert not ESTIMATORS[name](torch.zeros(5, 400), 0.008).gt(1e-20).any()
    signal = white(5)
    signal[: 2 * RATE] = 0  # as where a recording begins before its microphone is on
    found = ESTIMATORS[name](powers(signal), 128 / RATE)
    assert found.isfinite().all()
    if name != "first_frames":
        assert level_db(found, 4, 5) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_examples_do_not_meet(name):
    power = powers(white(1, 2))
    found = ESTIMATORS[name](torch.stack([power[0], torch.full_like(power[0], torch.nan)]), 0.008)
    torch.testing.assert_close(found[0], ESTIMATORS[name](power[0], 0.008))


@pytest.mark.parametrize("name", ["minimum_statistics", "imcra"])
def test_the_same_without_compiled_code(name, monkeypatch):
    power = powers(white(0.5), 16, 8)[..., :300]
    compiled = ESTIMATORS[name](power, 0.02)
    monkeypatch.setattr(spectral_gains, "compiled", lambda function: None)
    torch.testing.assert_close(ESTIMATORS[name](power, 0.02), compiled)

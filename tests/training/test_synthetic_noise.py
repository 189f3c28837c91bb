"""Noises made by rule: level, colour, swing, pitch, moments."""

import numpy as np
import pytest

from local.training import synthetic_noise

RATE = 16000


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", synthetic_noise.KINDS)
@pytest.mark.parametrize("time", [1, 2, 1001, 16000])
def test_each_kind_is_finite_and_has_its_length(kind, time):
    noise = synthetic_noise.KINDS[kind](time, RATE, rng())
    assert noise.shape == (time,)
    assert np.isfinite(noise).all()


def test_draws_are_of_every_kind_of_one_level_and_repeat():
    noises = [synthetic_noise.draw(8000, RATE, rng(seed)) for seed in range(30)]
    for noise in noises:
        assert noise.dtype == np.float32
        assert np.mean(np.square(noise, dtype=float)) == pytest.approx(1, rel=1e-3)
    assert np.array_equal(synthetic_noise.draw(8000, RATE, rng(3)), noises[3])
    peaks = [np.abs(noise).max() for noise in noises]
    assert max(peaks) > 8  # impulses
    assert min(peaks) < 3  # a hum


def test_coloured_noise_falls_as_it_was_drawn():
    for seed in range(6):
        exponent = rng(seed)
        exponent.standard_normal(2**17)
        exponent = exponent.uniform(-0.5, 2)
        power = np.abs(np.fft.rfft(synthetic_noise.coloured(2**17, RATE, rng(seed)))) ** 2
        octaves = [power[2**k : 2 ** (k + 1)].mean() for k in range(11, 16)]
        slope = np.polyfit(np.arange(5), np.log2(octaves), 1)[0]
        assert -slope == pytest.approx(exponent, abs=0.15)


def test_a_hum_is_a_row_of_harmonics():
    noise = synthetic_noise.hum(4 * RATE, RATE, rng(1))
    power = np.abs(np.fft.rfft(noise * np.hanning(len(noise)))) ** 2
    peaks = np.sort(np.argsort(power)[-200:]) / 4
    fundamental = np.exp(rng(1).uniform(np.log(40), np.log(400)))
    off = np.abs(peaks / fundamental - np.round(peaks / fundamental))
    assert power[(peaks[off < 0.03] * 4).astype(int)].sum() > 0.99 * power.sum()

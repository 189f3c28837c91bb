"""Crops: levels without pauses, and noises that fill a time, by algebra."""

import numpy as np
import pytest

from local.corpus import crops

RATE = 1000  # so a frame is 100 samples


def test_frames_are_mean_squares_and_the_last_may_be_short():
    x = np.concatenate([np.full(100, 2.0), np.zeros(100), np.full(7, 3.0)])
    np.testing.assert_allclose(crops.frame_levels(x, RATE), [4, 0, 9])
    np.testing.assert_allclose(crops.frame_levels(np.array([0.5]), RATE), [0.25])


@pytest.mark.parametrize("pauses", [0, 1, 10, 1000])
@pytest.mark.parametrize("floor_db", [-25, -60, -np.inf])
def test_the_active_level_is_that_without_pauses(pauses, floor_db):
    """However long the pauses are: a mean over everything would fall by up to 30 dB."""
    speech, pause = 0.01, 0.01 * 10 ** (floor_db / 10)
    levels = np.array([speech] * 10 + [pause] * pauses)
    assert crops.active_level(levels) == pytest.approx(speech, rel=1e-12)
    assert crops.active_share(levels, speech) == pytest.approx(10 / (10 + pauses))


def test_speech_of_uneven_level_is_all_speech():
    levels = np.array([1.0, 0.1, 0.02])  # 17 dB apart
    assert crops.active_level(levels) == pytest.approx(levels.mean())


def test_silence_has_no_level_and_no_speech():
    assert crops.active_level(np.zeros(5)) == 0
    assert crops.active_share(np.zeros(5), 0.0) == 0


@pytest.mark.parametrize("size", [1, 4, 399, 400, 401, 1000, 4001])
@pytest.mark.parametrize("length", [1, 3, 7, 400])
def test_a_repeated_noise_has_its_length_and_its_level(length, size):
    x = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    y = crops.repeat(x, size, RATE)
    assert y.shape == (size,)
    assert y.dtype == np.float32
    fade = min(10, length // 4)
    kept = min(length - fade, size)
    np.testing.assert_array_equal(y[:kept], x[:kept])
    if size >= 2 * length:
        period = length - fade
        np.testing.assert_array_equal(y[period : size - period], y[2 * period :])
        if length == 400:
            assert np.mean(y[period:] ** 2) == pytest.approx(np.mean(x**2), rel=0.05)


def test_a_joint_is_a_crossfade_without_a_step():
    """A slow ramp that starts again would jump by its whole height; here no step is larger than
    a tenth of it."""
    x = np.linspace(0, 1, 400)
    assert np.abs(np.diff(crops.repeat(x, 1000, RATE))).max() < 0.2

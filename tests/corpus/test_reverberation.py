"""Rooms: the voice convolved, where it is in time, at its level."""

import numpy as np
import pytest

from local.corpus.reverberation import reverberate

RNG = np.random.default_rng(0)
VOICE = RNG.standard_normal(1001).astype(np.float32)


def test_it_is_the_convolution_at_the_level_of_the_voice():
    response = np.concatenate([[1.0], 0.3 * RNG.standard_normal(300)]).astype(np.float32)
    wet = reverberate(VOICE, response)
    assert wet.dtype == np.float32
    expected = np.convolve(VOICE.astype(float), response)[:1001]
    expected *= np.sqrt(np.mean(VOICE.astype(float) ** 2) / np.mean(expected**2))
    np.testing.assert_allclose(wet, expected, atol=1e-6)
    assert np.mean(wet.astype(float) ** 2) == pytest.approx(np.mean(VOICE.astype(float) ** 2))


@pytest.mark.parametrize("delay", [0, 1, 500, 5000])
@pytest.mark.parametrize("gain", [1.0, -0.01])
def test_a_room_without_echoes_changes_nothing_whatever_its_delay(delay, gain):
    response = np.zeros(delay + 1, np.float32)
    response[-1] = gain
    np.testing.assert_allclose(reverberate(VOICE, response), np.sign(gain) * VOICE, atol=1e-6)


def test_what_rises_to_the_peak_is_kept():
    """The direct sound begins where a tenth of the peak is reached, not at the peak."""
    response = np.array([0.001, 0.2, 1.0, 0.0], np.float32)
    impulse = np.zeros(10, np.float32)
    impulse[3] = 1
    wet = reverberate(impulse, response)
    assert wet[4] / wet[3] == pytest.approx(5)
    assert np.abs(wet[:3]).max() < 1e-6


@pytest.mark.parametrize("time", [1, 7])
def test_short_and_silent_voices(time):
    response = np.array([1.0, 0.5, 0.25], np.float32)
    assert reverberate(VOICE[:time], response).shape == (time,)
    assert not reverberate(np.zeros(time, np.float32), response).any()

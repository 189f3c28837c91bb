"""The Wiener recipe on a noise with a tone in it."""

import pytest
import torch
from noisy_tones import BURST, PAUSE, noisy_tones, rms_db

from local.base.errors import UserError
from local.blocks.noise_psd import ESTIMATORS
from local.model import separators


@pytest.mark.parametrize("noise_psd", ESTIMATORS)
@pytest.mark.parametrize("gain", ["wiener", "logmmse"])
def test_a_tone_stays_and_its_noise_goes(gain, noise_psd):
    mix, tone = noisy_tones()
    separator = separators.build("wiener", gain=gain, noise_psd=noise_psd, noise_factor=1.0)
    voice, noise = separator(mix)[0]
    assert rms_db(voice[BURST] - tone[BURST]) < rms_db(mix[0, BURST] - tone[BURST]) - 10
    assert rms_db(voice[BURST]) == pytest.approx(rms_db(tone[BURST]), abs=0.3)
    assert rms_db(voice[PAUSE]) < rms_db(mix[0, PAUSE]) - 12
    torch.testing.assert_close(voice + noise, mix[0])


def test_more_noise_is_taken_away_with_a_larger_factor():
    mix, _ = noisy_tones()
    levels = [
        rms_db(separators.build("wiener", noise_factor=factor)(mix)[0, 0, PAUSE])
        for factor in (0.5, 1.0, 2.0)
    ]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > levels[-1] + 3


def test_silence_stays_silence():
    assert not separators.build("wiener")(torch.zeros(1, 5001)).any()


def test_the_same_twice():
    mix, _ = noisy_tones()
    assert torch.equal(separators.build("wiener")(mix), separators.build("wiener")(mix))


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"noise_psd": "minimum_statistic"}, "did you mean 'minimum_statistics'"),
     ({"noise_factor": 0.0}, "noise_factor"), ({"noise_factor": float("inf")}, "noise_factor"),
     ({"gain": "kalman"}, "gain"), ({"smoothing": 1.0}, "smoothing 1.0"),
     ({"smoothing": 1.5}, "smoothing"), ({"floor_db": float("nan")}, "floor_db"),
     ({"window": 256, "hop": 512}, "hop 512")],
)  # fmt: skip
def test_bad_settings_are_one_line(settings, named):
    with pytest.raises(UserError, match=named) as caught:
        separators.build("wiener", **settings)
    assert "\n" not in str(caught.value)

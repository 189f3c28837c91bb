"""The recipe of spectral subtraction on a noise with a tone in it."""

import pytest
import torch
from noisy_tones import BURST, PAUSE, noisy_tones, rms_db

from local.base.errors import UserError
from local.blocks.noise_psd import ESTIMATORS
from local.model import separators


@pytest.mark.parametrize("noise_psd", ESTIMATORS)
@pytest.mark.parametrize("domain", ["power", "magnitude"])
def test_a_tone_stays_and_its_noise_goes(domain, noise_psd):
    mix, tone = noisy_tones()
    separator = separators.build("spectral_subtraction", domain=domain, noise_psd=noise_psd)
    voice, noise = separator(mix)[0]
    assert rms_db(voice[BURST] - tone[BURST]) < rms_db(mix[0, BURST] - tone[BURST]) - 8
    assert rms_db(voice[BURST]) == pytest.approx(rms_db(tone[BURST]), abs=0.5)
    assert rms_db(voice[PAUSE]) < rms_db(mix[0, PAUSE]) - 10
    torch.testing.assert_close(voice + noise, mix[0])


def test_the_floor_is_what_is_left_of_the_noise():
    mix, _ = noisy_tones()
    levels = [
        rms_db(
            separators.build("spectral_subtraction", noise_factor=2.0, floor=floor)(mix)[
                0, 0, PAUSE
            ]
        )
        for floor in (0.0, 0.01, 0.1)
    ]
    assert levels == sorted(levels)
    # 2 times the noise's power, of it a tenth; of what is above, little is left
    assert levels[-1] == pytest.approx(rms_db(mix[0, PAUSE]) + 3 - 10, abs=1.5)


def test_silence_stays_silence():
    assert not separators.build("spectral_subtraction")(torch.zeros(1, 5001)).any()


def test_the_same_twice():
    mix, _ = noisy_tones()
    first, second = (separators.build("spectral_subtraction")(mix) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"noise_psd": "imcrb"}, "did you mean 'imcra'"), ({"noise_factor": -1.0}, "noise_factor"),
     ({"domain": "amplitude"}, "domain"), ({"over_subtraction": 0.5}, "over_subtraction"),
     ({"floor": 1.5}, "floor"), ({"window": 256, "hop": 512}, "hop 512")],
)  # fmt: skip
def test_bad_settings_are_one_line(settings, named):
    with pytest.raises(UserError, match=named) as caught:
        separators.build("spectral_subtraction", **settings)
    assert "\n" not in str(caught.value)

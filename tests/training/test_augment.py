"""Augmentations: what each does to signals whose outcome is known."""

import numpy as np
import pytest

from local.base.errors import UserError
from local.training.augment import KINDS, Chain, pair

RATE = 8000
SETTINGS = {"speed": [0.8, 1.25], "band_limit": [500.0, 3000.0], "polarity": 0.5, "gain_curve": 6.0}


def tones(*frequencies: float, time: int = RATE) -> np.ndarray:
    """One sine per source, float32 (source, time)."""
    phases = 2 * np.pi * np.arange(time) / RATE * np.array(frequencies)[:, None]
    return np.sin(phases).astype(np.float32)


def chain(*names: str, **settings) -> Chain:
    return Chain(SETTINGS | settings | {"apply": list(names)}, RATE)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def power(x: np.ndarray) -> np.ndarray:
    return np.mean(np.square(x, dtype=float), axis=-1)


@pytest.mark.parametrize("names", [[name] for name in KINDS] + [list(KINDS), ["speed", "speed"]])
@pytest.mark.parametrize("frames", [1, 2, 7, 1001, 16000])
def test_what_reach_asks_for_gives_the_length(names, frames):
    apply = chain(*names)
    sources = np.random.default_rng(1).standard_normal((2, apply.reach(frames)), dtype=np.float32)
    kept = sources.copy()
    out = apply(sources, rng())
    assert out.shape == (2, frames)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.array_equal(sources, kept)  # they may be someone else's
    assert np.array_equal(out, apply(sources, rng()))


@pytest.mark.parametrize("name", KINDS)
def test_silence_stays_silence_and_another_seed_is_another_outcome(name):
    apply = chain(name)
    assert not apply(np.zeros((2, 3000), np.float32), rng()).any()
    sources = np.random.default_rng(1).standard_normal((2, 3000), dtype=np.float32)
    outcomes = {apply(sources, rng(seed)).tobytes() for seed in range(8)}
    assert len(outcomes) > 1


def test_the_empty_chain_changes_nothing():
    sources = tones(100, 200)
    assert chain().reach(100) == 100
    assert np.array_equal(chain()(sources, rng()), sources)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.1, 1.25])
def test_speed_moves_pitch_by_the_factor(factor):
    apply = chain("speed", speed=[factor, factor])
    frames = RATE // 2
    out = apply(tones(400, 1000, time=apply.reach(frames)), rng())
    inner = slice(500, -500)  # away from the ends, where the resampler meets zeros
    np.testing.assert_allclose(
        out[:, inner], tones(400 * factor, 1000 * factor, time=frames)[:, inner], atol=2e-3
    )


def test_speed_is_drawn_for_each_source_within_its_bounds():
    apply = chain("speed")
    factors = []
    for seed in range(30):
        out = apply(tones(1000, 1000, time=apply.reach(RATE)), rng(seed))
        factors.append(np.abs(np.fft.rfft(out)).argmax(-1) / 1000)
    factors = np.array(factors)
    assert (factors[:, 0] != factors[:, 1]).any()
    assert factors.min() >= 0.799
    assert factors.max() <= 1.251
    assert np.ptp(factors) > 0.3


def test_band_limit_keeps_what_is_below_and_takes_what_is_above():
    apply = chain("band_limit", band_limit=[2000.0, 2000.0])
    inner = slice(1000, -1000)
    below = tones(300, 1790)
    np.testing.assert_allclose(apply(below, rng())[:, inner], below[:, inner], atol=1e-3)
    assert power(apply(tones(2010, 3500), rng())[:, inner]).max() < 1e-6 * 0.5


def test_band_limit_does_not_join_the_end_to_the_start():
    sources = np.zeros((2, 4000), np.float32)
    sources[:, -1] = 1
    out = chain("band_limit", band_limit=[1000.0, 1000.0])(sources, rng())
    assert out[:, -1] == pytest.approx(2 * 950 / RATE, abs=1e-3)  # half of the fall counts
    assert np.abs(out[:, :2000]).max() < 1e-3


def test_band_limit_at_the_nyquist_frequency_changes_nothing():
    sources = tones(100, 3900)
    out = chain("band_limit", band_limit=[4000.0, 9000.0])(sources, rng())
    assert np.array_equal(out, sources)


def test_band_limit_treats_both_sources_alike():
    noise = np.random.default_rng(0).standard_normal(5000, dtype=np.float32)
    out = chain("band_limit")(np.stack([noise, noise]), rng())
    assert np.array_equal(out[0], out[1])
    assert power(out[0]) < 0.9 * power(noise)


def test_polarity_turns_each_source_with_its_probability():
    sources = tones(100, 200)
    assert np.array_equal(chain("polarity", polarity=0.0)(sources, rng()), sources)
    assert np.array_equal(chain("polarity", polarity=1.0)(sources, rng()), -sources)
    turned = {
        tuple((chain("polarity")(sources, rng(seed)) == -sources).all(-1)) for seed in range(30)
    }
    assert turned == {(False, False), (False, True), (True, False), (True, True)}


@pytest.mark.parametrize("time", [1, RATE, 5 * RATE + 3])
def test_gain_curve_is_bounded_slow_and_of_each_source(time):
    curve = 20 * np.log10(chain("gain_curve")(np.ones((2, time), np.float32), rng()))
    assert np.abs(curve).max() <= 6.0001
    assert not np.allclose(curve[0], curve[1], atol=0.01)
    if time > 1:
        assert np.abs(np.diff(curve)).max() <= 12 / RATE + 1e-4  # at most end to end in a second
        assert np.ptp(curve) > 0.5


@pytest.mark.parametrize(
    ("apply", "settings", "said"),
    [
        (["sped"], {}, "did you mean 'speed'"),
        ([{"speed": 1}], {}, "data.augment.apply"),
        (["speed"], {"speed": [1.1, 0.9]}, "data.augment.speed expects two numbers above 0"),
        (["speed"], {"speed": [0.0, 0.9]}, "above 0"),
        (["speed"], {"speed": [0.9]}, "two numbers"),
        (["speed"], {"speed": [0.995, 1.0]}, "hundredths"),
        (["band_limit"], {"band_limit": [0.0, 100.0]}, "data.augment.band_limit"),
        (["band_limit"], {"band_limit": [100.0, float("nan")]}, "data.augment.band_limit"),
    ],
)
def test_faults_of_the_settings_are_one_line(apply, settings, said):
    with pytest.raises(UserError, match=said) as caught:
        Chain(SETTINGS | settings | {"apply": apply}, RATE)
    assert "\n" not in str(caught.value)


def test_settings_that_are_not_applied_are_not_asked_for():
    Chain(SETTINGS | {"apply": ["polarity"], "speed": []}, RATE)


def test_pair_takes_negative_and_equal_ends():
    assert pair("data.snr_db", [-5.0, -5.0]) == (-5.0, -5.0)
    for bounds in ([5.0, -5.0], [float("nan"), 1.0], [0.0, float("inf")], [1.0, 2.0, 3.0]):
        with pytest.raises(UserError, match=r"data\.snr_db"):
            pair("data.snr_db", bounds)

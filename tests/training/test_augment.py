"""Augmentations: what each does to signals whose outcome is known."""

import numpy as np
import pytest

from local.base.errors import UserError
from local.training.augment import KINDS, Chain
from local.training.ranges import pair

RATE = 8000
SETTINGS = {
    "speed": [0.8, 1.25], "stretch": [0.8, 1.25], "pitch": [-3.0, 3.0], "envelope": [0.8, 1.25],
    "band_limit": [500.0, 3000.0], "equaliser": 6.0, "clipping": [0.0, 10.0], "codec": [6, 12],
    "polarity": 0.5, "gain_curve": 6.0,
}  # fmt: skip


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


def spectrum(x: np.ndarray) -> np.ndarray:
    """Magnitudes at whole Hz of the middle second of each signal."""
    middle = x.shape[-1] // 2
    part = x[..., middle - RATE // 2 : middle + RATE // 2]
    return np.abs(np.fft.rfft(part * np.hanning(RATE)))


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_stretch_moves_time_and_not_pitch(factor):
    apply = chain("stretch", stretch=[factor, factor])
    frames = 2 * RATE
    sources = tones(440, 1000, time=apply.reach(frames))
    moment = round(1.5 * RATE * factor)  # the second tone begins there
    sources[1, :moment] = 0
    out = apply(sources, rng())
    assert spectrum(out[:1]).argmax(-1) == [440]
    loud = np.abs(out[1]) > 0.5
    assert np.flatnonzero(loud)[0] == pytest.approx(1.5 * RATE, abs=0.03 * RATE)
    assert power(out[0, RATE // 2 : -RATE // 2]) == pytest.approx(
        0.5, rel=0.25
    )  # a phase vocoder smears


@pytest.mark.parametrize("semitones", [-3.0, 0.0, 2.0])
def test_pitch_moves_pitch_and_not_time(semitones):
    apply = chain("pitch", pitch=[semitones, semitones])
    sources = tones(500, 1000, time=3 * RATE)
    sources[1, : 2 * RATE] = 0
    out = apply(sources, rng())
    assert spectrum(out[:1]).argmax(-1)[0] == pytest.approx(500 * 2 ** (semitones / 12), rel=0.01)
    loud = np.abs(out[1]) > 0.5
    assert np.flatnonzero(loud)[0] == pytest.approx(2 * RATE, abs=0.03 * RATE)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_envelope_moves_formants_and_keeps_pitch_and_noise(factor):
    """A voice of harmonics of 100 Hz with one formant at 1200 Hz."""
    time = np.arange(3 * RATE) / RATE
    harmonics = np.arange(100, 3900, 100)
    heights = np.exp(-0.5 * ((harmonics - 1200) / 250) ** 2) + 1e-3
    voice = heights @ np.sin(2 * np.pi * harmonics[:, None] * time)
    sources = np.stack([voice, tones(300, time=3 * RATE)[0]]).astype(np.float32)
    out = chain("envelope", envelope=[factor, factor])(sources, rng())
    assert np.array_equal(out[1], sources[1])
    before, after = spectrum(sources[0]), spectrum(out[0])
    assert after.argmax() % 100 == 0  # still a harmonic
    centres = [magnitudes[100:3900:100] ** 2 @ harmonics / (magnitudes[100:3900:100] ** 2).sum()
               for magnitudes in (before, after)]  # fmt: skip
    assert centres[1] / centres[0] == pytest.approx(factor, abs=0.07)


def test_an_envelope_of_one_changes_nothing():
    sources = np.random.default_rng(0).standard_normal((2, RATE), dtype=np.float32)
    out = chain("envelope", envelope=[1.0, 1.0])(sources, rng())
    np.testing.assert_allclose(out, sources, atol=1e-4)


def test_equaliser_has_the_gains_that_it_draws_for_each_source():
    sources = np.zeros((2, RATE), np.float32)
    sources[:, RATE // 2] = 1
    out = chain("equaliser", equaliser=9.0)(sources, rng())
    gains = 20 * np.log10(np.abs(np.fft.rfft(out)))
    assert np.abs(gains).max() <= 9.01
    assert np.ptp(gains, axis=1).min() > 3
    assert not np.allclose(gains[0], gains[1], atol=1)
    np.testing.assert_allclose(
        out[:, RATE // 2 + 1 :][:, :3000], out[:, RATE // 2 - 1 :: -1][:, :3000], atol=1e-4
    )


def test_clipping_cuts_each_source_below_its_own_peak():
    sources = tones(100, 200) * np.array([[1.0], [0.1]], np.float32)
    out = chain("clipping", clipping=[6.0, 6.0])(sources, rng())
    limits = np.abs(sources).max(1) * 10 ** (-6 / 20)
    np.testing.assert_allclose(np.abs(out).max(1), limits, rtol=1e-5)
    kept = np.abs(sources) < limits[:, None]
    assert np.array_equal(out[kept], sources[kept])


@pytest.mark.parametrize("bits", [3, 8, 16])
def test_codec_has_so_many_values_and_the_noise_of_mu_law(bits):
    source = np.random.default_rng(0).uniform(-1, 1, 20000).astype(np.float32)
    sources = np.stack([source, 0.01 * source])
    out = chain("codec", codec=[bits, bits])(sources, rng())
    assert len(np.unique(out[0])) <= 2**bits
    np.testing.assert_allclose(out[1], 0.01 * out[0], rtol=1e-3, atol=1e-7)
    if bits == 8:  # G.711 of a signal of full scale: about 38 dB
        assert 10 * np.log10(power(sources[0]) / power(out[0] - sources[0])) == pytest.approx(
            38, abs=2
        )


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
        (["strech"], {}, "did you mean 'stretch'"),
        (["stretch"], {"stretch": [0.0, 1.0]}, "data.augment.stretch expects two numbers above 0"),
        (["pitch"], {"pitch": [2.0, -2.0]}, "data.augment.pitch"),
        (["envelope"], {"envelope": [1.0]}, "data.augment.envelope"),
        (["clipping"], {"clipping": [3.0, 1.0]}, "data.augment.clipping"),
        (["codec"], {"codec": [1, 8]}, "data.augment.codec"),
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

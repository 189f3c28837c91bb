"""DNSMOS: against figures of the package speechmos, and what stands around its networks."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from local import ROOT
from local.base import audio
from local.base.errors import UserError
from local.scoring import dnsmos, metrics

MIXTURES = ("0002/mix_snr_0.wav", "0003/mix_snr_5.wav", "0004/mix_snr_10.wav")
RATE = dnsmos.RATE


def sounds():
    """Three mixtures of 2 s, float32 (time,)."""
    return [soundfile.read(ROOT / "egs_data" / "test" / path, dtype="float32")[0]
            for path in MIXTURES]  # fmt: skip


# speechmos 0.0.1.1 itself, dnsmos.run(samples, 16000), with librosa 0.11.0: whole, signal,
# background, P.808. The first and the last are repeated; the second has two windows.
@pytest.mark.parametrize(("make", "expected"), [
    (lambda: sounds()[0], (1.078265, 1.163312, 1.054819, 2.378571)),
    (lambda: np.resize(np.concatenate(sounds()), 11 * RATE),
     (1.259819, 2.052335, 1.129378, 2.723055)),
    (lambda: sounds()[1][:5001], (2.305884, 3.359481, 2.523505, 2.541062)),
])  # fmt: skip
def test_the_package_agrees(make, expected):
    pytest.importorskip("speechmos")
    assert list(dnsmos.score(make(), RATE).values()) == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def stand_in(monkeypatch):
    """Networks that rate a window by its first sample."""

    def p835(names, inputs):
        first = float(inputs["input_1"][0, 0])
        return [np.array([[first, 2 * first, 3 * first]])]

    def p808(names, inputs):
        assert inputs["input_1"].shape == (1, 900, dnsmos.BANDS)
        return [np.array([[1.5]])]

    networks = dnsmos.Networks(SimpleNamespace(run=p835), SimpleNamespace(run=p808))
    monkeypatch.setattr(dnsmos, "load", lambda: networks)


def starts_of_the_script(length: int) -> list[int]:
    """Where dnsmos_local.py of the DNS challenge takes windows, as it says it."""
    starts = []
    for index in range(int(np.floor(length / 16000) - 9.01) + 1):
        window = range(length)[int(index * 16000) : int((index + 9.01) * 16000)]
        if len(window) >= int(9.01 * 16000):
            starts.append(window[0])
    return starts


@pytest.mark.parametrize("length", [dnsmos.LENGTH, 160_159, 176_000, 176_160, 500_001, 3_000_000])
def test_windows_are_those_of_the_published_script(length):
    assert dnsmos.window_starts(length) == starts_of_the_script(length)


def test_a_rating_is_the_mean_over_windows_on_the_scale_of_listeners(stand_in):
    samples = np.zeros(12 * RATE, np.float32)
    samples[: 3 * RATE : RATE] = 0.1, 0.5, 0.9
    found = dnsmos.score(samples, RATE)
    for factor, name in enumerate(dnsmos.SCALE, 1):
        square, linear, constant = dnsmos.SCALE[name]
        raw = factor * np.array([0.1, 0.5, 0.9])
        expected = np.mean(square * raw**2 + linear * raw + constant)
        assert found[name] == pytest.approx(expected, abs=1e-6)
    assert found["dnsmos_p808"] == 1.5


@pytest.mark.parametrize("seconds", [1, 2, 4, 4.5, 5, 9])
def test_a_short_recording_is_doubled_until_it_fills_a_window(stand_in, seconds):
    samples = np.random.default_rng(0).uniform(0, 1, int(seconds * RATE)).astype(np.float32)
    repeated = samples
    while len(repeated) < dnsmos.LENGTH:
        repeated = np.append(repeated, repeated)
    whole, short = dnsmos.score(repeated, RATE), dnsmos.score(samples, RATE)
    assert short == pytest.approx(whole, abs=1e-9)


def test_another_rate_is_resampled(stand_in):
    samples = np.random.default_rng(0).uniform(0, 1, 10 * 8000).astype(np.float32)
    resampled = audio.resample(samples, 8000, RATE)
    assert dnsmos.score(samples, 8000) == dnsmos.score(resampled, RATE)


def test_the_spectrogram_of_a_tone():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    found = dnsmos.log_mel(tone)
    assert found.shape == (RATE // dnsmos.HOP, dnsmos.BANDS)
    assert found.max() == 1  # 0 dB
    assert found.min() == -1  # -80 dB
    # 1000 Hz is mel 15; the highest band ends at 8000 Hz
    highest = 15 + np.log(8) / np.log(6.4) * 27
    middle = round(15 / highest * (dnsmos.BANDS + 1)) - 1
    assert set(found[5:-5].argmax(1)) == {middle}


def test_what_cannot_be_rated_says_why():
    chosen = metrics.Chosen(dnsmos.NAMES)
    for fill, reason in ((0, "silent estimate"), (np.nan, "estimate with NaN")):
        estimates = np.full((2, RATE), fill)
        values, reasons = metrics.score(np.ones((2, RATE)), estimates, RATE, chosen)
        assert set(values) == {("voice", name) for name in dnsmos.NAMES}
        assert all(why.startswith(reason) for why in reasons.values())
        assert len(reasons) == len(dnsmos.NAMES)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "speechmos" or None)
    with pytest.raises(UserError, match=r"^DNSMOS needs speechmos: .*pip install 'winnow\[dnsmos"):
        metrics.choose("si_sdr,dnsmos_sig", [RATE])
    assert "dnsmos_sig" not in metrics.choose("all", [RATE]).names

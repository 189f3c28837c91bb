"""CSIG, CBAK and COVL: against algebra, linear solvers, and figures of the package pysepm-evo."""

import math

import numpy as np
import pytest
import soundfile

from local import ROOT
from local.base import audio
from local.scoring import composite, metric_values, metrics

SPEECH = ROOT / "egs_data" / "test"
NAMES = ("csig", "cbak", "covl")


def sounds(mixture: str, rate: int):
    """The voice and the mixture of a triplet, float64 (time,)."""
    paths = (SPEECH / mixture).with_name("voice.wav"), SPEECH / mixture
    return [audio.resample(soundfile.read(path)[0], 16000, rate) for path in paths]


# pysepm-evo 0.1.1 (a Python version of Loizou's code) on the voice and the mixture: LLR as for the
# composite measures, WSS, segmental SNR; then CSIG, CBAK, COVL with the package's coefficients,
# given MOS-LQO of the package pesq at 16 kHz, and at 8 kHz the raw score that it has for it.
# Its SNR and frames are those of composite.m.
@pytest.mark.parametrize(("mixture", "rate", "measures", "ratings"), [
    ("0002/mix_snr_0.wav", 16000, (0.6422366, 90.3223145, 1.9366876),
     (2.3093881, 1.6708395, 1.5542636)),
    ("0002/mix_snr_0.wav", 8000, (0.8001538, 90.6580042, 1.7046393),
     (2.4760973, 1.9172282, 1.9145808)),
    ("0004/mix_snr_10.wav", 16000, (0.1632865, 86.7456156, 7.0077575),
     (2.8234433, 2.0066540, 1.8098718)),
])  # fmt: skip
def test_another_implementation_agrees(mixture, rate, measures, ratings):
    voice, mix = sounds(mixture, rate)
    functions = composite.llr, composite.wss, composite.segmental_snr
    assert [f(voice, mix, rate) for f in functions] == pytest.approx(measures, abs=1e-6)
    chosen = metrics.choose("composite", [rate])
    values, reasons = metrics.score(
        np.stack([voice, mix - voice]), np.stack([mix, mix]), rate, chosen
    )
    assert not reasons
    assert list(values) == [("voice", name) for name in NAMES]
    assert list(values.values()) == pytest.approx(ratings, abs=1e-6)


def test_an_estimate_that_is_the_voice_at_another_level():
    voice, _ = sounds("0002/mix_snr_0.wav", 16000)
    assert composite.llr(voice, 0.9 * voice, 16000) == pytest.approx(0, abs=1e-6)
    assert composite.wss(voice, 0.9 * voice, 16000) == pytest.approx(0, abs=1e-6)
    assert composite.segmental_snr(voice, 0.9 * voice, 16000) == pytest.approx(20, abs=1e-3)
    assert composite.segmental_snr(voice, voice, 16000) == pytest.approx(35)
    assert composite.segmental_snr(voice, 9 * voice, 16000) == pytest.approx(-10)
    found = composite.composite(voice, voice, 16000, pesq=1.0)
    expected = 3.093 + 0.603, 1.634 + 0.478 + 0.063 * 35, 1.594 + 0.805
    assert [found[name] for name in NAMES] == pytest.approx(expected, abs=1e-6)
    assert composite.composite(voice, voice, 16000, pesq=4.6)["csig"] == 5  # not 5.87


def test_frames_of_long_files_are_measured_some_at_a_time(monkeypatch):
    voice, mix = sounds("0002/mix_snr_0.wav", 16000)
    whole = composite.composite(voice, mix, 16000, pesq=2.0)
    monkeypatch.setattr(composite, "AT_ONCE", 7)
    assert composite.composite(voice, mix, 16000, pesq=2.0) == pytest.approx(whole, abs=1e-12)


def test_predictors_solve_the_normal_equations():
    frames = np.random.default_rng(0).standard_normal((3, 200)).cumsum(1)
    lags = composite._autocorrelation(frames, 4)
    for row, frame, taps in zip(lags, frames, composite._predictor(lags), strict=True):
        assert row == pytest.approx([frame[k:] @ frame[: 200 - k] for k in range(5)])
        matrix = row[np.abs(np.subtract.outer(np.arange(4), np.arange(4)))]
        assert taps == pytest.approx([1, *np.linalg.solve(matrix, -row[1:])])


def test_the_peak_next_to_each_slope():
    energy = np.array([[5.0, 3, 4, 7, 9, 8, 8, 10]])
    slope = np.diff(energy)
    # falls: the band where they begin; rises: the band before their last
    expected = [[5, 7, 7, 7, 9, 9, 8]]
    assert composite._next_peak(energy, slope).tolist() == expected


def test_the_raw_score_is_the_one_that_p862_1_maps():
    for raw in (-0.5, 1.0, 2.5, 4.5):
        mapped = 0.999 + 4 / (1 + math.exp(-1.4945 * raw + 4.6607))
        assert composite.raw_pesq(mapped) == pytest.approx(raw)


def test_what_has_no_composite_measure_has_the_reason_of_pesq():
    voice, mix = sounds("0002/mix_snr_0.wav", 16000)
    _, reasons = metrics.score(
        np.stack([voice, mix]), np.zeros((2, len(mix))), 16000, metrics.choose("composite", [16000])
    )
    assert reasons == {("voice", name): "silent estimate" for name in NAMES}
    short = metric_values.composite(voice[:400], mix[:400], 16000, 2.0)
    assert short == dict.fromkeys(NAMES, "too short for frames of 30 ms")


def test_silence_within_an_estimate_is_scored():
    voice, mix = sounds("0002/mix_snr_0.wav", 16000)
    mix[5000:20000] = 0
    found = composite.composite(voice, mix, 16000, pesq=1.1)
    assert all(1 <= value <= 5 for value in found.values())

"""BSS Eval where a number has no answer, or only a slow or an inexact one."""

import warnings

import numpy as np
import pytest
from bss_signals import (
    ISR,
    SAR,
    SDR,
    SIR,
    WAYS,
    assert_as_museval,
    estimates_of,
    museval,
    quantised,
    recording,
    scores,
    solve_by,
)

from local.scoring import bss_toeplitz
from local.scoring.bss_eval import BssEvalWarning, bss_eval


@pytest.fixture(params=WAYS)
def path(request, monkeypatch):
    solve_by(request.param, monkeypatch)


def test_silent_frames_are_nan_without_a_warning(path):
    rng = np.random.default_rng(8)
    references = rng.standard_normal((2, 5000, 2))
    estimates = estimates_of(rng, references)
    references[0, 1000:2000] = 0
    estimates[1, 4000:, 1] = -estimates[1, 4000:, 0]  # museval looks at the sum of the channels
    options = {"window": 1000, "hop": 1000, "filters_len": 16}
    for framewise in (False, True):
        ours = scores(references, estimates, **options, framewise_filters=framewise)
        nan = np.isnan(ours).all(axis=(0, 1))
        np.testing.assert_array_equal(nan, [False, True, False, False, True])
        assert_as_museval(references, estimates, **options, framewise_filters=framewise)


@pytest.mark.parametrize("name", ["reference", "estimate"])
@pytest.mark.parametrize("framewise", [False, True])
def test_a_source_silent_throughout(name, framewise):
    signals = dict.fromkeys(("reference", "estimate"), None)
    for key in signals:
        signals[key] = np.random.default_rng(9).standard_normal((2, 3000, 1))
    signals[name][1] = 0
    with pytest.warns(BssEvalWarning, match=f"zeros throughout in {name} 1"):
        *ours, order = bss_eval(
            *signals.values(), 1000, 1000, filters_len=16, framewise_filters=framewise
        )
    assert np.shape(ours) == (4, 2, 3)
    assert np.isnan(ours).all()
    np.testing.assert_array_equal(order[:, 0], [0, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_samples_that_are_not_finite(path, bad):
    rng = np.random.default_rng(10)
    references = rng.standard_normal((2, 3000, 1))
    estimates = references + 0.1
    estimates[0, 1500] = bad
    with pytest.warns(BssEvalWarning, match="not finite"):
        ours = bss_eval(references, estimates, 1000, 1000, filters_len=16)
    assert np.isnan(ours[:4]).all()
    with pytest.warns(BssEvalWarning, match="not finite"):
        ours = bss_eval(references, estimates, 1000, 1000, filters_len=16, framewise_filters=True)
    np.testing.assert_array_equal(np.isnan(ours[:4]).all(axis=(0, 1)), [False, True, False])


@pytest.mark.parametrize("scale", [1.0, -0.7])
def test_identical_references(path, scale):
    """What they span is known; what one adds to the other is not."""
    rng = np.random.default_rng(11)
    reference = recording(rng, 1)
    references = np.concatenate((reference, scale * reference))
    estimates = quantised(reference + 0.01 * rng.standard_normal((2, reference.shape[1])))
    options = {"window": 8000, "hop": 8000}
    with pytest.warns(BssEvalWarning, match="SIR NaN.*references are identical"):
        ours = np.array(bss_eval(references, estimates, **options)[:4])
    assert np.isnan(ours[SIR]).all()
    theirs = np.array(museval.bss_eval(references, estimates, **options)[:4])
    np.testing.assert_allclose(ours[[SDR, ISR, SAR]], theirs[[SDR, ISR, SAR]], atol=1e-6)


@pytest.mark.parametrize("distance", 10.0 ** -np.arange(2, 15, 2))
def test_nearly_identical_references(path, distance):
    """The span of s and s + d n is that of s and n: the truth is known for any d."""
    rng = np.random.default_rng(12)
    signal, other = rng.standard_normal((2, 4000))
    estimates = np.stack((signal + 0.1 * other, other + 0.2 * signal))
    estimates += 0.05 * rng.standard_normal(estimates.shape)
    options = {"window": 2000, "hop": 2000, "filters_len": 64}
    truth = scores(np.stack((signal, other)), estimates, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours = np.array(
            bss_eval(np.stack((signal, signal + distance * other)), estimates, **options)[:4]
        )
    assert bool(caught) == bool(np.isnan(ours).any())
    assert all(issubclass(w.category, BssEvalWarning) for w in caught)
    assert not np.isnan(ours[[SDR, ISR]]).any()
    if distance < 1e-7:
        assert np.isnan(ours[SIR]).all()
    elif distance > 1e-5:
        assert not np.isnan(ours).any()
    known = ~np.isnan(ours[SIR, 0])
    np.testing.assert_allclose(ours[SIR, 0, known], truth[SIR, 0, known], atol=2e-3)


@pytest.mark.parametrize(("distance", "solver"), [(1, "fast"), (1e-4, "dense")])
def test_a_slower_solver_where_digits_are_lost(path, monkeypatch, distance, solver):
    used = {"fast"}
    dense = bss_toeplitz.solve_dense
    monkeypatch.setattr(
        bss_toeplitz, "solve_dense", lambda *args: used.add("dense") or dense(*args)
    )
    signal, other, *errors = np.random.default_rng(18).standard_normal((4, 4000))
    references = np.stack((signal, signal + distance * other))
    scores(references, references + 0.1 * np.array(errors), filters_len=64)
    assert used == {"fast", solver}


def test_dependent_references_of_which_museval_is_wrong():
    """Ours against least squares on the shifted signals themselves."""
    rng = np.random.default_rng(1201)
    taps, time = 2, 2500
    references = 0.1 * rng.standard_normal((3, time))
    references[1] = 0.37 * references[0]
    estimates = references + 0.2 * references[::-1] + 0.05 * rng.standard_normal((3, time))
    shifted = np.stack([np.pad(x, (k, taps - 1 - k)) for x in references for k in range(taps)])
    padded = np.pad(estimates, ((0, 0), (0, taps - 1)))
    projected = padded @ np.linalg.pinv(shifted, rcond=1e-12) @ shifted
    truth = 10 * np.log10(np.sum(projected**2, axis=1) / np.sum((padded - projected) ** 2, axis=1))
    sar = bss_eval(references, estimates, np.inf, np.inf, filters_len=taps)[SAR]
    np.testing.assert_allclose(sar[:, 0], truth, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 20, 127])
def test_signals_shorter_than_the_filters(path, samples):
    """Filters of 2 x 128 taps make anything of so few samples: no artifacts to speak of."""
    rng = np.random.default_rng(samples)
    references, estimates = rng.standard_normal((2, 2, samples))
    with pytest.warns(BssEvalWarning, match=f"{samples} samples leave filters of 256 taps open"):
        ours = np.array(bss_eval(references, estimates, np.inf, np.inf, filters_len=128)[:4])
    theirs = np.array(museval.bss_eval(references, estimates, np.inf, np.inf, filters_len=128)[:4])
    assert np.isnan(ours[SAR]).all()
    assert not np.isnan(ours[[SDR, ISR]]).any()
    known = ~np.isnan(ours)  # of one sample, a filter of the own reference makes anything too
    np.testing.assert_allclose(ours[known], theirs[known], atol=1e-6)


def test_a_lone_source(path):
    rng = np.random.default_rng(13)
    reference = recording(rng, 1)
    estimate = estimates_of(rng, reference[..., None])[..., 0]
    ours = scores(reference, estimate, window=4000, hop=4000)
    assert np.all(ours[SIR] == np.inf)
    assert_as_museval(reference, estimate, window=4000, hop=4000)
    assert_as_museval(reference[:, :100], estimate[:, :100])  # shorter than the filter, yet solved


def test_frequencies_that_hold_nothing(path):
    """Sines: a matrix of rank 4, and answers all the same."""
    time = np.arange(16000)
    rng = np.random.default_rng(14)
    references = quantised(0.5 * np.sin(np.outer([0.1, 0.17], time)))
    estimates = references + 0.1 * references[::-1] + 0.01 * rng.standard_normal((2, 16000))
    assert_as_museval(references, estimates, window=8000, hop=8000)


def test_levels_far_apart(path):
    rng = np.random.default_rng(15)
    references = recording(rng, 2, seconds=1.0) * np.array([[1.0], [1e-6]])
    estimates = references + 1e-7 * rng.standard_normal(references.shape)
    assert_as_museval(references, estimates, window=4000, hop=4000)
    assert_as_museval(1e-6 * references, 1e-6 * estimates, window=4000, hop=4000)  # eps counts


def test_a_wrong_solution_does_not_get_through(monkeypatch):
    """As when a compiled solver loses its digits."""
    rng = np.random.default_rng(16)
    references = recording(rng, 2)[..., None]
    estimates = estimates_of(rng, references)
    right = bss_toeplitz._by_levinson
    for factor in (0, 1.0001, np.nan):
        monkeypatch.setattr(bss_toeplitz, "_by_levinson", lambda *args, k=factor: k * right(*args))
        assert_as_museval(references, estimates, window=8000, hop=8000)

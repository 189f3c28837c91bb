"""BSS Eval: against algebra, museval and mir_eval, on every path to the filters."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from mir_eval import separation

from local.scoring import bss_toeplitz
from local.scoring.bss_eval import BssEvalWarning, bss_eval, museval_metrics
from local.scoring.bss_projection import METRICS

SDR, ISR, SIR, SAR = range(4)
V3 = {"window": np.inf, "hop": np.inf, "bsseval_sources_version": True}
museval = museval_metrics()


@pytest.fixture(params=["compiled", "scipy"])
def path(request, monkeypatch):
    """Both ways to solve for the filters."""
    if request.param == "scipy":
        monkeypatch.setattr(bss_toeplitz, "compiled", lambda function: None)
    elif bss_toeplitz.compiled(bss_toeplitz._levinson) is None:
        pytest.skip("numba cannot be imported")


def scores(references, estimates, **options):
    """(metric, source, frame); fails on a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.array(bss_eval(references, estimates, **options)[:4])


def recording(rng, *shape, seconds=2.0, rate=8000):
    """Coloured noise under an envelope, in 16 bits: (*shape, time)."""
    time = int(seconds * rate)
    x = rng.standard_normal((*shape, time + 64))
    colour = rng.standard_normal(64) * np.hanning(128)[64:]
    x = np.apply_along_axis(np.convolve, -1, x, colour, "same")[..., :time]
    envelope = np.interp(np.arange(time), np.linspace(0, time, 9), 10 ** rng.uniform(-2, 0, 9))
    return quantised(x * envelope / np.abs(x).max() / 2)


def quantised(x):
    return np.round(np.asarray(x) * 32768) / 32768


def estimates_of(rng, references, error=0.1):
    """Leakage between the sources, a short filter, and noise."""
    mixing = np.eye(len(references)) + 0.2 * rng.standard_normal((len(references),) * 2)
    x = np.einsum("ij,j...->i...", mixing, references)
    x = x + 0.3 * np.roll(x, 2, axis=1)
    return quantised(x + error * references.std() * rng.standard_normal(x.shape))


def assert_as_museval(references, estimates, tolerance=1e-6, **options):
    ours = bss_eval(references, estimates, **options)
    theirs = museval.bss_eval(references, estimates, **options)
    for name, a, b in zip((*METRICS, "order"), ours, theirs, strict=True):
        assert a.shape == b.shape, name
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
        a, b = np.clip(a, -150, 150), np.clip(b, -150, 150)  # beyond, it is all rounding
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)


# --- algebra -----------------------------------------------------------------------------------


def exact(rng, gain, leak, noise, frames=1, taps=32, delay=5):
    """Sources that never sound within a filter of each other: all energies are known.

    Returns:
        references, estimates (2, time), and the true SDR, ISR, SIR, SAR of v4 and of v3, for
        the first source.
    """
    length = 1000
    references, estimates = np.zeros((2, 2, frames * length))
    voice, other, hiss = (rng.standard_normal(200) for _ in range(3))
    voice, other, hiss = (x / np.linalg.norm(x) for x in (voice, other, hiss))
    for start in range(0, frames * length, length):
        references[0, start : start + 200] = voice
        references[1, start + 300 : start + 500] = other
        estimates[0, start + delay : start + 200 + delay] = gain * voice
        estimates[0, start + 300 + delay : start + 500 + delay] = leak * other
        estimates[0, start + 600 : start + 800] = noise * hiss
    estimates[1] = references[1] + 0.1 * references[0]
    delayed = gain * np.pad(voice, (delay, 0)) - np.pad(voice, (0, delay))
    spatial = np.sum(delayed**2)
    v4 = [
        1 / (spatial + leak**2 + noise**2),
        1 / spatial,
        gain**2 / leak**2,
        (gain**2 + leak**2) / noise**2,
    ]
    v3 = [gain**2 / (leak**2 + noise**2), np.nan, *v4[2:]]
    return references, estimates, 10 * np.log10(v4), 10 * np.log10(v3)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    ("gain", "leak", "noise"), [(1, 0.1, 0.01), (0.3, 1, 0.3), (-2, 1e-3, 1e-5)]
)
def test_energies_known_by_algebra(path, gain, leak, noise, frames):
    rng = np.random.default_rng(frames)
    references, estimates, v4, v3 = exact(rng, gain, leak, noise, frames)
    options = {"window": 1000, "hop": 1000, "filters_len": 32}
    ours = scores(references, estimates, **options)
    np.testing.assert_allclose(ours[:, 0], np.tile(v4, (frames, 1)).T, atol=1e-7)
    ours = scores(references, estimates, **options, bsseval_sources_version=True)
    np.testing.assert_allclose(ours[:, 0], np.tile(v3, (frames, 1)).T, atol=1e-7)


def test_a_perfect_estimate(path):
    references = recording(np.random.default_rng(0), 2)
    ours = scores(references, references, window=8000, hop=8000)
    assert np.all(ours[SDR] == np.inf)
    assert np.all(ours[1:] > 200)


def test_the_mixture_has_no_artifacts(path):
    references = recording(np.random.default_rng(1), 2)
    mixture = np.tile(references.sum(axis=0), (2, 1))
    ours = scores(references, mixture, window=8000, hop=8000)
    assert np.all(ours[SAR] > 200)
    assert np.all(np.abs(ours[:SAR]) < 60)


# --- references --------------------------------------------------------------------------------


@st.composite
def cases(draw):
    """Signals with more samples than unknowns, and options of all kinds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sources, channels = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    taps = draw(st.sampled_from([1, 2, 7, 32, 100]))
    least = 3 * sources * channels * taps + 50
    window = draw(st.one_of(st.just(np.inf), st.integers(least, 3 * least), st.just(least + 0.5)))
    hop = window
    if window < np.inf:
        hop = draw(st.one_of(st.just(window), st.integers(max(least // 3, 9), 2 * least)))
    time = draw(st.integers(least, 6 * least))
    references = rng.standard_normal((sources, time, channels)) * 0.1
    references[..., -1] += 0.5 * references[..., 0]
    estimates = estimates_of(rng, references)
    if draw(st.booleans()):
        references = quantised(references)
    if draw(st.booleans()):
        references, estimates = references.astype(np.float32), estimates.astype(np.float32)
    if draw(st.booleans()):
        silent = draw(st.sampled_from([references, estimates]))
        start = draw(st.integers(0, time - 1))
        silent[draw(st.integers(0, sources - 1)), start : start + time // 2] = 0
    return (
        references,
        estimates,
        {
            "window": window,
            "hop": hop,
            "filters_len": taps,
            "compute_permutation": draw(st.booleans()),
            "framewise_filters": draw(st.booleans()),
            "bsseval_sources_version": draw(st.booleans()),
        },
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_museval_on_any_shape(case):
    references, estimates, options = case
    assert_as_museval(references, estimates, 1e-7, **options)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(cases())
def test_museval_on_any_shape_without_compiled_code(case):
    references, estimates, options = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bss_toeplitz, "compiled", lambda function: None)
        assert_as_museval(references, estimates, 1e-7, **options)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("options", [{}, {"bsseval_sources_version": True}])
def test_museval_on_recordings(path, rate, options):
    rng = np.random.default_rng(rate)
    references = recording(rng, 2, seconds=2.3, rate=rate)[..., None]
    estimates = estimates_of(rng, references)
    assert_as_museval(references, estimates, window=rate, hop=rate, **options)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 1), V3 | {"compute_permutation": True}),
        ((2, 1), V3 | {"framewise_filters": True}),
        ((2, 2), {"window": 8000, "hop": 8000}),
        ((3, 1), {"window": 8000, "hop": 3000}),
        ((2, 1), {"window": 4000, "hop": 7000, "framewise_filters": True}),
        ((1, 2), {}),
    ],
)
def test_museval_on_more_recordings(path, shape, options):
    rng = np.random.default_rng(shape)
    references = np.moveaxis(recording(rng, *shape, seconds=2.1), 1, 2)
    estimates = estimates_of(rng, references)
    assert_as_museval(references, estimates, **options)


def test_mir_eval(path):
    rng = np.random.default_rng(2)
    references = recording(rng, 2, seconds=1.0)
    estimates = estimates_of(rng, references[..., None])[::-1, :, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sdr, sir, sar, order = separation.bss_eval_sources(references, estimates)
        images = separation.bss_eval_images(references[..., None], estimates[..., None])
    ours = bss_eval(references, estimates, **V3, compute_permutation=True)
    np.testing.assert_allclose(np.array(ours)[[SDR, SIR, SAR], :, 0], [sdr, sir, sar], atol=1e-6)
    np.testing.assert_array_equal(ours[4][:, 0], order)
    ours = bss_eval(references, estimates, np.inf, np.inf, compute_permutation=True)
    np.testing.assert_allclose(np.array(ours)[..., 0], images, atol=1e-6)


@pytest.mark.parametrize("kept", [0, 2**28])
@pytest.mark.parametrize(
    "options", [{"window": 3000, "hop": 3000}, {"window": 5000, "hop": 2000}, V3]
)
def test_long_signals_are_cut_without_a_change(path, monkeypatch, options, kept):
    """Into parts that filters join again, of which few are kept in memory."""
    rng = np.random.default_rng(3)
    references = np.moveaxis(recording(rng, 2, 2), 1, 2)
    estimates = estimates_of(rng, references)
    options = options | {"filters_len": 60, "compute_permutation": True}
    whole = scores(references, estimates, **options)
    monkeypatch.setattr("local.scoring.bss_projection.KEEP_BYTES", kept)
    monkeypatch.setattr("local.scoring.bss_projection.LONG", 500)
    monkeypatch.setattr("local.scoring.bss_projection.PART", 301)
    np.testing.assert_allclose(scores(references, estimates, **options), whole, atol=1e-8)


def test_a_long_recording():
    rng = np.random.default_rng(17)
    references = recording(rng, 2, seconds=4.0, rate=16000)
    estimates = estimates_of(rng, references[..., None])[..., 0]
    assert_as_museval(references, estimates, **V3)


def test_inputs_of_other_kinds():
    rng = np.random.default_rng(4)
    references = (1000 * rng.standard_normal((2, 3000))).astype(np.int16)
    estimates = references + rng.integers(-100, 100, references.shape)
    assert_as_museval(references, estimates, filters_len=16)
    assert_as_museval(references.tolist(), estimates.tolist(), filters_len=16)
    assert_as_museval(references[0], estimates[0], filters_len=16)
    assert_as_museval(references[:, ::-3], estimates[:, ::-3], filters_len=16)


# --- the order of the estimates ----------------------------------------------------------------


def test_the_order_is_found(path):
    rng = np.random.default_rng(5)
    references = rng.standard_normal((4, 4000, 1))
    shuffled = [2, 0, 3, 1]
    estimates = np.empty_like(references)
    estimates[shuffled] = references + 0.1 * rng.standard_normal(references.shape)
    *_, order = bss_eval(references, estimates, 1000, 1000, True, 16)
    np.testing.assert_array_equal(order[:, 0], shuffled)
    assert_as_museval(
        references, estimates, window=1000, hop=1000, compute_permutation=True, filters_len=16
    )


def test_an_order_for_each_frame():
    rng = np.random.default_rng(6)
    references = rng.standard_normal((2, 3000))
    estimates = references + 0.1 * rng.standard_normal(references.shape)
    estimates[:, 1000:2000] = estimates[::-1, 1000:2000]
    *_, order = bss_eval(references, estimates, 1000, 1000, True, 16, framewise_filters=True)
    np.testing.assert_array_equal(order, [[0, 1, 0], [1, 0, 1]])


def test_a_slight_difference_decides_the_order():
    references = recording(np.random.default_rng(7), 2)
    tilt = 1e-4 * np.array([[-1, 1], [1, -1]])
    *_, order = bss_eval(references, (1 + tilt) @ references, **V3, compute_permutation=True)
    np.testing.assert_array_equal(order, [[1], [0]])


def test_equal_estimates_keep_their_order():
    references = recording(np.random.default_rng(7), 2)
    mixture = np.tile(references.sum(axis=0), (2, 1))
    *_, order = bss_eval(references, mixture, **V3, compute_permutation=True)
    np.testing.assert_array_equal(order, [[0], [1]])


# --- what has no answer ------------------------------------------------------------------------


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


# --- arguments ---------------------------------------------------------------------------------


def test_no_samples():
    with pytest.warns(BssEvalWarning, match="no samples"):
        empty = bss_eval(np.zeros((2, 0)), np.zeros((2, 0)))
    assert [x.shape for x in empty] == [(0,)] * 5


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 100), (2, 99)), {}, r"\(2, 100, 1\).*\(2, 99, 1\)"),
        (((1, 2, 3, 4), (1, 2, 3, 4)), {}, r"\(1, 2, 3, 4\)"),
        (((101, 9), (101, 9)), {}, "at most 100 sources"),
        (((2, 100), (2, 100)), {"window": 0}, "positive"),
        (((2, 100), (2, 100)), {"window": np.nan}, "positive"),
        (((2, 100), (2, 100)), {"window": 10, "hop": 0}, "positive"),
        (((2, 100), (2, 100)), {"window": 10, "hop": -5}, "positive"),
        (((2, 100), (2, 100)), {"filters_len": 0}, "positive"),
    ],
)
def test_arguments_that_make_no_sense(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        bss_eval(*(np.ones(shape) for shape in shapes), **options)


# --- the solver and its compilation ------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "q", "lags"), [(1, 1, 1), (1, 3, 40), (2, 2, 64), (3, 1, 1), (5, 4, 9)]
)
def test_every_way_solves_the_equations(path, p, q, lags):
    rng = np.random.default_rng(lags)
    signals = np.pad(rng.standard_normal((p + q, 500)), ((0, 0), (lags, lags)))
    shifted = np.stack([[np.roll(x, k) for k in range(lags)] for x in signals])
    r = np.einsum("ikn,jn->ijk", shifted[:p], shifted[:p, 0])
    d = np.einsum("ikn,jn->ijk", shifted[:p], shifted[p:, 0])
    matrix = np.einsum("ikn,jln->ikjl", shifted[:p], shifted[:p]).reshape(p * lags, p * lags)
    truth = np.linalg.solve(matrix, d.transpose(0, 2, 1).reshape(p * lags, q))
    truth = truth.reshape(p, lags, q).transpose(0, 2, 1)
    energy = np.sum(signals[p:] ** 2, axis=1)
    for solve in (bss_toeplitz.solve, bss_toeplitz.solve_dense):
        solution = solve(r, d, energy)
        np.testing.assert_allclose(solution.filters[:, :q], truth, rtol=0, atol=1e-12)
        assert not solution.singular


def test_what_is_not_positive_definite_is_not_solved(path):
    r = np.zeros((2, 2, 4))
    r[..., 0] = [[1, 2], [2, 1]]
    assert np.isnan(bss_toeplitz.solve(r, np.ones((2, 1, 4)), np.ones(1)).filters).all()


def python(code, **environment):
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_importing_it_is_cheap():
    heavy = "{'numba', 'scipy', 'museval', 'torch'}"
    code = f"import sys, local.scoring.bss_eval; print({heavy} & {{*sys.modules}})"
    assert python(code).strip() == "set()"


def test_museval_without_ffmpeg():
    code = (
        "import sys; from local.scoring.bss_eval import museval_metrics;"
        "print(museval_metrics().bss_eval.__module__, 'musdb' in sys.modules)"
    )
    assert python(code, PATH="").split() == ["museval.metrics", "False"]


def test_without_numba(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert bss_toeplitz.compiled.__wrapped__(bss_toeplitz._levinson) is None
    assert "without compiled code" in caplog.text


def test_without_a_folder_for_machine_code(monkeypatch):
    numba = pytest.importorskip("numba")
    njit = numba.njit

    def read_only(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", read_only)
    solution, definite = bss_toeplitz.compiled.__wrapped__(bss_toeplitz._levinson)(
        np.ones((1, 1, 1)), np.ones((1, 1, 1))
    )
    assert definite
    assert solution == 1

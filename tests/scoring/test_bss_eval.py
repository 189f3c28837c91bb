"""BSS Eval: against algebra, museval and mir_eval, on every path to the filters."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from bss_signals import (
    SAR,
    SDR,
    SIR,
    V3,
    WAYS,
    assert_as_museval,
    estimates_of,
    quantised,
    recording,
    scores,
    solve_by,
)
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from mir_eval import separation

from local.scoring import bss_toeplitz
from local.scoring.bss_eval import BssEvalWarning, bss_eval


@pytest.fixture(params=WAYS)
def path(request, monkeypatch):
    solve_by(request.param, monkeypatch)


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

"""Signals for BSS Eval, both ways to solve for its filters, and the comparison with museval."""

import warnings

import numpy as np
import pytest

from local.scoring import bss_toeplitz
from local.scoring.bss_eval import bss_eval, museval_metrics
from local.scoring.bss_projection import METRICS

SDR, ISR, SIR, SAR = range(4)
V3 = {"window": np.inf, "hop": np.inf, "bsseval_sources_version": True}
museval = museval_metrics()
WAYS = ["compiled", "scipy"]


def solve_by(way, monkeypatch):
    """Solve for the filters in one of WAYS."""
    if way == "scipy":
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

"""The solver of BSS Eval's equations and its compilation."""

import sys

import numpy as np
import pytest
from bss_signals import WAYS, solve_by

from local.scoring import bss_toeplitz


@pytest.fixture(params=WAYS)
def path(request, monkeypatch):
    solve_by(request.param, monkeypatch)


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

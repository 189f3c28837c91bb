"""Normal equations of multichannel filters: block-Toeplitz systems, from spectra to solution.

Least-squares filters from p signals to q have the equations T x = d, where block (k, l) of T is
the p-by-p matrix of correlations at lag k - l. So T is given by `r`: (p, p, lag),
``r[i, j, k]`` = sum over time of ``s_i(n) s_j(n + k)`` for k >= 0, and ``r[j, i]`` is the other
side of lag 0. Right sides `d` and solutions `x` are (p, q, lag).
"""

import functools
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.linalg

from local.base.compiled import compiled

EPS = np.finfo(float).eps
ROUNDING = EPS / 4  # of a correlation, relative to the levels of what it correlates
UNSOLVED = 1e-10  # residual, relative to the terms of the equations, at which they are not solved
SINGULAR = 1 / (100 * EPS)  # trace of the inverse of T, for signals of unit energy


def correlations(blocks, size: int, p: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlations of references, with themselves and with estimates, from spectra of stretches.

    Args:
        blocks: consecutive stretches of the signals, each with a `spectrum` (signal, bin) by an
            FFT of `size`, of which the two real bins are multiplied by sqrt(1/2), the first
            samples `head` (signal, taps - 1) and the last samples `tail` (p, taps - 1). All but
            the last are longer than the taps.
        p: signals that are references; as many estimates follow.

    Returns:
        r: (p, p, taps). d: (p, p, taps). energy: (p,) of the estimates.
    """
    overlap = taps - 1
    cross = np.zeros((p, 2 * p, size // 2 + 1), complex)
    add_cross = compiled(_add_cross) or _add_cross_by_rows
    energy = np.zeros(p)
    heads, tails = [], []
    for block in blocks:
        add_cross(cross, block.spectrum)
        energy += 2 / size * np.vecdot(block.spectrum[p:], block.spectrum[p:]).real
        heads.append(block.head)
        tails.append(block.tail)
    cross[..., [0, -1]] *= 2
    lags = np.empty((p, 2 * p, taps))
    for i in range(p):
        circle = np.fft.irfft(cross[i, i:], size)
        lags[i, i:] = circle[:, :taps]
        lags[i:p, i, 0] = circle[: p - i, 0]
        lags[i:p, i, 1:] = circle[: p - i, :-taps:-1]
    if len(heads) > 1 and overlap:
        # lag k also joins the last k samples of a block to the first k of the next
        short = scipy.fft.next_fast_len(2 * overlap, real=True)
        before = scipy.fft.rfft(np.stack(tails[:-1], axis=1), short)
        after = scipy.fft.rfft(np.stack(heads[1:], axis=1), short)
        circle = np.fft.irfft(np.einsum("ibf,jbf->ijf", before.conj(), after), short)
        lags[..., 1:] += np.roll(circle, overlap - 1, axis=-1)[..., :overlap]
    return lags[:, :p], lags[:, p:], energy


class Solution(NamedTuple):
    """Filters, and what rounding does to them; all NaN where the equations are not solved.

    Rounding adds one more filter at random to those of each signal: the last of ``filters``,
    times the root of the signal's ``rounding``. What it lets through says how far to trust them.
    """

    filters: np.ndarray  # (p, q + 1, lag)
    rounding: np.ndarray  # (q,)
    singular: bool  # T is singular, as far as double precision can tell


def _add_cross(cross, spectrum):
    """``cross[i, j] += conj(spectrum[i]) * spectrum[j]`` for j >= i."""
    for i in range(len(cross)):
        for j in range(i, len(spectrum)):
            for k in range(spectrum.shape[1]):
                cross[i, j, k] += np.conj(spectrum[i, k]) * spectrum[j, k]


def _add_cross_by_rows(cross, spectrum):
    for i, row in enumerate(spectrum[: len(cross)]):
        cross[i, i:] += row.conj() * spectrum[i:]


def solve(r: np.ndarray, d: np.ndarray, energy: np.ndarray) -> Solution:
    """Solve T x = d fast: block Levinson recursion, or Cholesky where there is no numba.

    NaN where T is not positive definite in double precision, or where the equations do not hold
    when the solution is put into them.

    Args:
        r: (p, p, lag). d: (p, q, lag). energy: (q,) of the signals to be fitted.
    """
    return _checked(_by_levinson if compiled(_levinson) else _cholesky, r, d, energy)


def solve_dense(r: np.ndarray, d: np.ndarray, energy: np.ndarray) -> Solution:
    """As `solve`, but NaN only where T is exactly singular: elimination with pivots."""
    return _checked(_eliminate, r, d, energy)


def _levinson(r, d):
    """Block Levinson recursion (Whittle 1963, Akaike 1973): order by order, filters grow a tap.

    At each order there is a forward predictor A with T A = [V 0 .. 0]', a backward predictor B
    with T B = [0 .. 0 W]', and the solution x of the first rows. Columns of all three are flat
    vectors, channel fastest within tap, so every inner loop runs over contiguous memory.
    B is kept at the end of its buffer: there [0 B] is the same numbers, begun one tap earlier.
    (Loops in place of NumPy's slices compile in half the time.)

    Returns:
        x: (q, lag * p), and whether T is positive definite.
    """
    p, q, lags = d.shape
    n = lags * p
    past = np.empty((p, n))  # row i: r[i] from the largest lag to 0
    for i in range(p):
        for k in range(p):
            for lag in range(lags):
                past[i, (lags - 1 - lag) * p + k] = r[i, k, lag]
    x = np.zeros((q, n))
    forward = np.zeros((p, n))
    backward = np.zeros((p, n))
    kept = np.empty((p, n))
    power = np.empty((2, p, p))  # V and W
    delta = np.zeros((p, p))
    rows = np.zeros((2, p, 2 * p + q))  # [V | delta'] and [W | delta, error of x]
    for i in range(p):
        forward[i, i] = 1.0
        backward[i, n - p + i] = 1.0
        for j in range(p):
            power[0, i, j] = power[1, i, j] = r[i, j, 0]

    for order in range(1, lags + 1):
        m = order * p
        start = n - m
        for i in range(p):
            for j in range(p):
                rows[0, i, j] = power[0, i, j]
                rows[1, i, j] = power[1, i, j]
        for c in range(q):
            y = x[c, : m - p]
            for i in range(p):
                row = past[i, start : n - p]
                total = d[i, c, order - 1]
                for k in range(m - p):
                    total -= row[k] * y[k]
                rows[1, i, 2 * p + c] = total
        if order < lags:
            for j in range(p):
                y = forward[j, :m]
                for i in range(p):
                    row = past[i, start - p : n - p]
                    total = 0.0
                    for k in range(m):
                        total += row[k] * y[k]
                    delta[i, j] = total
                    rows[1, i, p + j] = total
                    rows[0, j, p + i] = total

        for side in range(2):  # Gauss-Jordan: rows = V^-1 [..] and W^-1 [..]
            for k in range(p):
                pivot = rows[side, k, k]
                if not pivot > 0.0:
                    return x, False
                for c in range(k, 2 * p + q):
                    rows[side, k, c] /= pivot
                for i in range(p):
                    if i != k:
                        factor = rows[side, i, k]
                        for c in range(k, 2 * p + q):
                            rows[side, i, c] -= factor * rows[side, k, c]

        for c in range(q):
            y = x[c, :m]
            for i in range(p):
                factor = rows[1, i, 2 * p + c]
                row = backward[i, start:]
                for k in range(m):
                    y[k] += factor * row[k]
        if order == lags:
            break

        m += p
        start -= p
        for j in range(p):
            for k in range(m):
                kept[j, k] = forward[j, k]
        for j in range(p):
            y = forward[j, :m]
            for i in range(p):
                factor = rows[1, i, p + j]
                row = backward[i, start:]
                for k in range(m):
                    y[k] -= factor * row[k]
        for j in range(p):
            y = backward[j, start:]
            for i in range(p):
                factor = rows[0, i, p + j]
                row = kept[i, :m]
                for k in range(m):
                    y[k] -= factor * row[k]
        for i in range(p):
            for j in range(p):
                for k in range(p):
                    power[0, i, j] -= delta[k, i] * rows[1, k, p + j]
                    power[1, i, j] -= delta[i, k] * rows[0, k, p + j]
    return x, True


def _by_levinson(r, d):
    p, q, lags = d.shape
    x, definite = compiled(_levinson)(np.ascontiguousarray(r), np.ascontiguousarray(d))
    return x.reshape(q, lags, p).transpose(2, 0, 1) if definite else None


def _checked(solver, r, d, energy):
    """Solve, put the solution into the equations, and look at what rounding does to it.

    An equation is rounded in proportion to the levels of what it correlates; a random right side
    of those proportions is solved along.
    """
    p, q, lags = d.shape
    level = np.sqrt(r[..., 0].diagonal())[:, None, None]
    error = level * _noise(p, lags)
    sides = np.concatenate((d, error), axis=1)
    x = solver(r, sides)
    if x is not None:
        left, terms, given = (
            np.square(part).sum(axis=(0, 2))
            for part in (_residual(r, sides, x) / level, x * level, sides / level)
        )
        if (left <= UNSOLVED**2 * (terms + given)).all():
            rounding = left[:q] / (p * lags) + ROUNDING**2 * (terms[:q] + energy)
            trace = abs(np.sum(error * x[:, q:]))  # of T^-1, by Hutchinson's estimate
            return Solution(x, rounding, trace > SINGULAR)
    return Solution(np.full(sides.shape, np.nan), np.full(q, np.nan), True)


@functools.lru_cache(maxsize=8)
def _noise(p, lags):
    return np.random.default_rng(0).standard_normal((p, 1, lags))


def _residual(r, d, x):
    """d - T x: T is a piece of a circulant matrix, so FFTs multiply by it."""
    lags = r.shape[-1]
    size = scipy.fft.next_fast_len(2 * lags - 1, real=True)
    circle = np.zeros((*r.shape[:2], size))
    circle[..., :lags] = r
    circle[..., size - lags + 1 :] = r.transpose(1, 0, 2)[..., :0:-1]
    product = np.einsum("ijf,jqf->iqf", np.fft.rfft(circle), np.fft.rfft(x, size))
    return d - np.fft.irfft(product, size)[..., :lags]


def _eliminate(r, d):
    try:
        return _from_columns(np.linalg.solve(_dense(r), _to_columns(d)), d.shape)
    except np.linalg.LinAlgError:  # a pivot is exactly zero
        return None


def _cholesky(r, d):
    """Cholesky's factors of T; of one signal, whose T is plain Toeplitz, SciPy's recursion."""
    try:
        if len(r) == 1:
            return scipy.linalg.solve_toeplitz(r[0, 0], d[0].T, check_finite=False).T[None]
        matrix = _dense(r).T  # the same, in the order in which LAPACK can work without a copy
        factor = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return _from_columns(scipy.linalg.cho_solve(factor, _to_columns(d)), d.shape)


def _dense(r):
    """T itself, (p lag, p lag), rows and columns ordered by signal, then lag."""
    p, _, lags = r.shape
    matrix = np.empty((p, lags, p, lags))
    for i in range(p):
        for j in range(p):
            matrix[i, :, j] = scipy.linalg.toeplitz(r[i, j], r[j, i])
    return matrix.reshape(p * lags, p * lags)


def _to_columns(d):
    p, q, lags = d.shape
    return d.transpose(0, 2, 1).reshape(p * lags, q)


def _from_columns(x, shape):
    p, q, lags = shape
    return x.reshape(p, lags, q).transpose(0, 2, 1)

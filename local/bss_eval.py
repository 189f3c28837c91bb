"""BSS Eval: how much of an estimate is target, interference and artifacts.

The numbers are those of `museval.metrics.bss_eval`, at a multiple of its speed. By least squares,
an estimate is projected on what filters of `filters_len` taps make of its own reference (`own`)
and of all references together (`every`), after Vincent, Gribonval and Fevotte (2006)::

    estimate = reference + (own - reference) + (every - own) + (estimate - every)
                           spatial error       interference    artifacts

What makes it fast: the filters' equations are block-Toeplitz, which takes (p taps)^2 operations
instead of their cube (`local.toeplitz`); energies are those of spectra (Parseval), with neither
convolutions nor inverse FFTs; and frames that follow one another without gap or overlap share
their spectra with the correlations of the whole signals.
"""

import importlib
import itertools
import operator
import sys
import types
import warnings
from typing import NamedTuple

import numpy as np

SDR, ISR, SIR, SAR = range(4)
METRICS = ("SDR", "ISR", "SIR", "SAR")
MAX_SOURCES = 100  # as in museval; with more, the axes are in another order
EPS = np.finfo(float).eps
BEYOND_DB = 150.0  # a ratio beyond this only says that its smaller side is rounding
DOUBT = 1e-7  # amplitude of rounding, relative to what is measured, that is looked into: 1e-6 dB
UNDETERMINED = 1e-4  # the same, from which on there is no score: 1e-3 dB
KEEP_BYTES = 2**28  # spectra of up to this size are kept from the first pass to the second


class BssEvalWarning(UserWarning):
    """Scores are NaN for another reason than a source that is silent in a frame."""


def bss_eval(
    references: np.ndarray,
    estimates: np.ndarray,
    window: float = 2 * 44100,
    hop: float = 1.5 * 44100,
    compute_permutation: bool = False,
    filters_len: int = 512,
    framewise_filters: bool = False,
    bsseval_sources_version: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """BSS Eval version 4 (Stoeter, Liutkus and Ito 2018) or 3, in place of museval's.

    Version 4 is customarily read with one second for both window and hop. ``bss_eval_sources``
    of version 3 is an infinite window with `bsseval_sources_version`.

    Args:
        references, estimates: (source, time, channel), (source, time) or (time,).
        window, hop: length of frames and distance between them, in samples. With a window of
            inf, or longer than the signals, everything is one frame.
        compute_permutation: find the order of the estimates that has the highest mean SIR.
        filters_len: taps of the filters that a reference may pass through.
        framewise_filters: filters for each frame, instead of one set for the whole signals.
        bsseval_sources_version: the filtered reference is the target of SDR; no ISR (NaN).

    Returns:
        SDR, ISR, SIR, SAR: (source, frame) in dB. A ratio is inf where there is no error, as in
            the SIR of a lone source; beyond 150 dB it says that the error is rounding, no more
            (the SAR of the mixture itself, for one). NaN in frames in which a source is silent;
            NaN with a BssEvalWarning that names the cause, where there is no answer: a source
            is silent all the time, a sample is not finite, or rounding in double precision moves
            the score by more than 0.001 dB, as when two references are almost alike.
        order: estimate ``order[j, t]`` is that of reference j; (source, 1), or (source, frame)
            with `framewise_filters`. As given, unless `compute_permutation`.

    Raises:
        ValueError: shapes that differ, more than 100 sources, a window, hop or filter length
            that is not positive.
    """
    references, estimates = np.atleast_3d(references), np.atleast_3d(estimates)
    taps = operator.index(filters_len)
    _check(references, estimates, window, hop, taps)
    if references.size == 0:
        warnings.warn("no samples, so no scores", BssEvalWarning, stacklevel=2)
        return (np.array([]),) * 5

    sources, samples, _ = references.shape
    frames = _frames(window, hop, samples)
    pairs = list(itertools.product(range(sources), repeat=2))
    if not compute_permutation:
        pairs = [(j, j) for j in range(sources)]
    scores = np.full((len(METRICS), sources, sources, len(frames)), np.nan)
    heard = np.array(
        [(_audible(references[:, f]) & _audible(estimates[:, f])).all() for f in frames]
    )
    causes = []
    if not heard.any():
        causes.append(_silence(references, estimates))
    elif framewise_filters:
        for t in np.flatnonzero(heard):
            part = references[:, frames[t]], estimates[:, frames[t]]
            whole = [slice(0, part[0].shape[1])]
            evaluation = _Evaluation(*part, pairs, taps, bsseval_sources_version)
            scores[..., [t]], cause = evaluation.scores(whole, heard[[t]])
            causes.append(cause)
    else:
        evaluation = _Evaluation(references, estimates, pairs, taps, bsseval_sources_version)
        scores, cause = evaluation.scores(frames, heard)
        causes.append(cause)
    for cause in dict.fromkeys(causes):
        if cause:
            warnings.warn(cause, BssEvalWarning, stacklevel=2)

    order = np.arange(sources)[:, None].repeat(len(frames) if framewise_filters else 1, axis=1)
    if compute_permutation:
        groups = np.split(scores[SIR], order.shape[1], axis=-1)
        order = np.stack([_order(group.mean(axis=-1)) for group in groups], axis=1)
    index = np.broadcast_to(order, (sources, len(frames)))
    return (*scores[:, np.arange(sources)[:, None], index, np.arange(len(frames))], order)


def museval_metrics() -> types.ModuleType:
    """The module museval.metrics, also on machines without ffmpeg.

    ``import museval`` imports musdb, which stops unless it finds ffmpeg, to decode a data set
    that scoring does not need. While museval is imported, an empty musdb stands in.
    """
    stand_in = "musdb" not in sys.modules
    if stand_in:
        sys.modules["musdb"] = types.ModuleType("musdb")
    try:
        return importlib.import_module("museval.metrics")
    finally:
        if stand_in:
            del sys.modules["musdb"]


def _check(references, estimates, window, hop, taps):
    if references.shape != estimates.shape:
        raise ValueError(
            f"shapes differ: references {references.shape}, estimates {estimates.shape}"
        )
    if references.ndim > 3:
        raise ValueError(f"axes are (source, time, channel); found the shape {references.shape}")
    if len(references) > MAX_SOURCES:
        raise ValueError(
            f"axes are (source, time, channel), of at most {MAX_SOURCES} sources;"
            f" found the shape {references.shape}"
        )
    if not (window >= 1 and hop > 0 and taps >= 1):
        raise ValueError(f"window {window}, hop {hop}, filters_len {taps}: all must be positive")


def _frames(window, hop, samples) -> list[slice]:
    """Frames as museval cuts them: whole ones only, unless the window is longer than all."""
    if not window < samples:
        return [slice(0, samples)]
    count = 1 if np.isinf(hop) else int(np.floor((samples - window + hop) / hop))
    starts = [0] + [t * hop for t in range(1, count)]
    return [slice(int(start), int(min(start + window, samples))) for start in starts]


def _audible(signals):
    """(source, time, channel) -> (source,): whether the sum of its channels is ever not 0."""
    mono = signals[..., 0] if signals.shape[2] == 1 else signals.sum(axis=2)
    sample = mono[:, ::64].any(axis=1)  # all that is needed, but for silence
    return sample if sample.all() else mono.any(axis=1)


def _silence(references, estimates):
    """Names sources that are silent all the time, which museval refuses."""
    silent = [
        f"{name} {index}"
        for name, signals in (("reference", references), ("estimate", estimates))
        for index in np.flatnonzero(~_audible(signals))
    ]
    return f"all scores are NaN: zeros throughout in {', '.join(silent)}" if silent else ""


def _order(sir):
    """The order of the estimates with the highest mean SIR, the first of equals.

    Args:
        sir: (reference, estimate) in dB. Returns: (source,).
    """
    sources = np.arange(len(sir))
    orders = np.array(list(itertools.permutations(sources)))
    means = sir[sources, orders].mean(axis=1).round(9)
    return orders[np.where(np.isnan(means), -np.inf, means).argmax()]


class _Block(NamedTuple):
    """What is kept of a stretch of the signals."""

    spectrum: np.ndarray  # (2 source channel, bin): references, then estimates
    head: np.ndarray  # (2 source channel, taps - 1) its first samples
    tail: np.ndarray  # (source channel, taps - 1) the last samples of the references
    target: np.ndarray  # (pair,) energy of the reference
    error: np.ndarray  # (pair,) energy of estimate - reference


class _Filters(NamedTuple):
    """A `toeplitz.Solution` as spectra."""

    output: np.ndarray  # (estimate, channel, reference channel, bin)
    stray: np.ndarray  # (reference channel, bin)
    rounding: np.ndarray  # (estimate,)
    singular: bool


class _Ratios(NamedTuple):
    """What the scores are ratios of: energies (metric, pair, frame), NaN in silent frames."""

    top: np.ndarray
    bottom: np.ndarray
    noise: np.ndarray  # by which rounding moves either
    singular: np.ndarray  # (metric, pair, 1) whether it comes from equations without a solution

    def decibels(self):
        return np.where(self.bottom == 0, np.inf, 10 * np.log10(self.top / self.bottom))

    def determined(self, tolerance):
        """Whether the amplitude of rounding is below `tolerance` times what is measured."""
        low, high = np.minimum(self.top, self.bottom), np.maximum(self.top, self.bottom)
        only_rounding = high > 10 ** (BEYOND_DB / 10) * low
        return np.where(only_rounding, ~self.singular, self.noise <= tolerance**2 * low)


class _Evaluation:
    """Estimates against references, with one set of filters for all frames.

    Args:
        references, estimates: (source, time, channel).
        pairs: (reference, estimate) to score, in ascending order.
    """

    def __init__(self, references, estimates, pairs, taps, sources_version):
        self.signals = np.moveaxis(references, 2, 1), np.moveaxis(estimates, 2, 1)
        self.sources, self.channels, self.samples = self.signals[0].shape
        self.rows = self.sources * self.channels
        self.pairs = pairs
        self.estimates = [[e for i, e in pairs if i == j] for j in range(self.sources)]
        self.taps = taps
        self.sources_version = sources_version

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def scores(self, frames: list[slice], heard: np.ndarray) -> tuple[np.ndarray, str]:
        """(metric, reference, estimate, frame) in dB, and why some of them are NaN, or ""."""
        from local import toeplitz

        parts = self.partition(frames)
        size, part_size = self.fft_size(frames), self.fft_size(parts)
        blocks = self.analyse(parts, part_size)
        kept = None
        if parts[: len(frames)] == frames and 16 * self.rows * size * len(parts) <= KEEP_BYTES:
            blocks, kept = itertools.tee(blocks)
        equations = toeplitz.correlations(blocks, part_size, self.rows, self.taps)
        equations[0][range(self.rows), range(self.rows), 0] += EPS  # museval's regularisation
        kept = kept and list(kept)

        table = np.full((len(METRICS), self.sources, self.sources, len(frames)), np.nan)
        if not all(np.isfinite(part).all() for part in equations):
            return table, "all scores are NaN: samples are not finite, or too large to square"
        asked = np.tile(heard, (len(METRICS), len(self.pairs), 1))
        asked[ISR] &= not self.sources_version
        for solve, tolerance in ((toeplitz.solve, DOUBT), (toeplitz.solve_dense, UNDETERMINED)):
            filters = self.fit(solve, *equations, size)
            blocks = kept or self.analyse(frames, size)
            ratios = self.ratios(blocks, heard, *filters, size)
            undetermined = asked & ~ratios.determined(tolerance)
            if not undetermined.any():
                break
        scores = np.where(undetermined, np.nan, ratios.decibels())
        for index, (j, e) in enumerate(self.pairs):
            table[:, j, e] = scores[:, index]
        return table, self.cause(undetermined)

    def partition(self, frames):
        """Stretches that make up the signals: the frames and the rest, where that will do.

        Each but the last must be longer than the filters: a lag then spans two of them at most.
        """
        parts = list(frames)
        if frames[-1].stop < self.samples:
            parts.append(slice(frames[-1].stop, self.samples))
        lengths = [part.stop - part.start for part in parts]
        joined = all(a.stop == b.start for a, b in itertools.pairwise(parts))
        if (
            joined
            and lengths[-1] <= lengths[0]
            and min(lengths[:-1], default=np.inf) >= 4 * self.taps
        ):
            return parts
        length = max(4 * self.taps, 2**14)
        return [slice(n, min(n + length, self.samples)) for n in range(0, self.samples, length)]

    def fft_size(self, parts):
        """Room for the longest part and what filters append to it; multiples of 64 are fast."""
        from scipy.fft import next_fast_len

        longest = max(part.stop - part.start for part in parts)
        return 64 * next_fast_len(-(-(longest + self.taps - 1) // 64), real=True)

    def analyse(self, parts, size):
        """Yield a _Block for each part."""
        x = np.zeros((2, self.sources, self.channels, size))
        rows = x.reshape(-1, size)
        overlap = self.taps - 1
        for part in parts:
            length = part.stop - part.start
            x[0, ..., :length] = self.signals[0][..., part]
            x[1, ..., :length] = self.signals[1][..., part]
            x[..., length:] = 0
            spectrum = np.empty((len(rows), size // 2 + 1), complex)
            np.fft.rfft(rows, out=spectrum)
            spectrum[:, [0, -1]] *= np.sqrt(0.5)  # every other bin stands for two
            references, estimates = x[..., :length]
            yield _Block(
                spectrum,
                head=rows[:, :overlap].copy(),
                tail=rows[: self.rows, max(length - overlap, 0) : length].copy(),
                target=np.array([_energy(references[j]) for j, _ in self.pairs]),
                error=np.array([_energy(estimates[e] - references[j]) for j, e in self.pairs]),
            )

    def fit(self, solve, r, d, energy, size):
        """Filters of all references together, and a list of those of each alone."""
        every = self.spectra(solve(r, d, energy), size)
        if self.sources == 1:
            return every, [every]
        channels = np.arange(self.rows).reshape(self.sources, -1)
        own = []
        for row, estimates in zip(channels, self.estimates, strict=True):
            part = slice(row[0], row[-1] + 1)
            columns = channels[estimates].ravel()
            solution = solve(r[part, part], d[part, columns], energy[columns])
            own.append(self.spectra(solution, size))
        return every, own

    def spectra(self, solution, size):
        from scipy.fft import rfft  # faster than numpy's where most is padding

        filters = rfft(solution.filters.swapaxes(0, 1), size)
        output = filters[:-1].reshape(-1, self.channels, *filters.shape[1:])
        rounding = solution.rounding.reshape(-1, self.channels).sum(axis=1)
        return _Filters(output, filters[-1], rounding, solution.singular)

    def ratios(self, blocks, heard, every, own, size):
        """The _Ratios of all pairs in all frames that are heard."""
        energies = np.full((len(heard), 9, len(self.pairs)), np.nan)
        for t, block in zip(range(len(heard)), blocks, strict=False):
            if heard[t]:
                energies[t, :7] = 2 / size * self.energies(block, every, own)
                energies[t, 7:] = block.target, block.error
        filtered, remainder, interference, projected, artifacts, *rest = np.moveaxis(energies, 0, 2)
        own_noise, every_noise, target, error = rest
        alone = np.array([own[j].singular for j, _ in self.pairs])
        several = self.sources > 1
        sdr = target, error, 0 * target
        isr = target, remainder, own_noise
        sir = filtered, interference, several * (own_noise + every_noise)
        sar = projected, artifacts, every_noise
        if self.sources_version:
            sdr, isr = (filtered, remainder, own_noise), np.full((3, *target.shape), np.nan)
        singular = (
            alone & self.sources_version,
            alone,
            several & (alone | every.singular),
            alone | every.singular,
        )
        return _Ratios(*np.stack((sdr, isr, sir, sar), axis=1), np.array(singular)[..., None])

    def energies(self, block, every, own):
        """(7, pair): what the scores of a frame are made of."""
        references, estimates = block.spectrum.reshape(2, self.sources, self.channels, -1)
        together = references.reshape(self.rows, -1)
        of_all, of_own, rest = np.empty((3, together.shape[-1]), complex)
        every_stray = _energy(_filter(every.stray, together, of_all, rest))
        own_stray = [
            _energy(_filter(filters.stray, reference, of_own, rest))
            for filters, reference in zip(own, references, strict=True)
        ]
        sums = np.zeros((7, len(self.pairs)))
        for e, estimate in enumerate(estimates):
            pairs = [n for n, pair in enumerate(self.pairs) if pair[1] == e]
            for channel in range(self.channels):
                _filter(every.output[e, channel], together, of_all, rest)
                projected = _energy(of_all)
                artifacts = _energy(np.subtract(estimate[channel], of_all, out=rest))
                for n in pairs:
                    j, _ = self.pairs[n]
                    place = self.estimates[j].index(e)
                    _filter(own[j].output[place, channel], references[j], of_own, rest)
                    target = (estimate if self.sources_version else references[j])[channel]
                    sums[:5, n] += (
                        _energy(of_own),
                        _energy(np.subtract(target, of_own, out=rest)),
                        _energy(np.subtract(of_all, of_own, out=rest)),
                        projected,
                        artifacts,
                    )
            for n in pairs:
                j, _ = self.pairs[n]
                sums[5, n] = own_stray[j] * own[j].rounding[self.estimates[j].index(e)]
                sums[6, n] = every_stray * every.rounding[e]
        return sums

    def cause(self, undetermined):
        """Why there are scores, (metric, pair, frame), that are not determined; or ""."""
        if not undetermined.any():
            return ""
        names = ", ".join(np.array(METRICS)[undetermined.any(axis=(1, 2))])
        unknowns = self.rows * self.taps
        if self.samples + self.taps - 1 < unknowns:
            return f"{names} NaN: {self.samples} samples leave filters of {unknowns} taps open"
        return (
            f"{names} NaN: double precision leaves the filters open; references are identical or"
            " filtered copies of one another, or all but empty at some frequencies"
        )


def _filter(filters, signals, out, scratch):
    """Sum of filtered signals: `out` = sum over i of ``filters[i] * signals[i]``."""
    np.multiply(filters[0], signals[0], out=out)
    for i in range(1, len(filters)):
        out += np.multiply(filters[i], signals[i], out=scratch)
    return out


def _energy(x):
    return np.vdot(x, x).real

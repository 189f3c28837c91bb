"""BSS Eval: how much of an estimate is target, interference and artifacts.

It gives the numbers of `museval.metrics.bss_eval`, several times faster. By least squares, an
estimate is projected on what filters of `filters_len` taps make of its own reference (`own`) and
of all references together (`every`), after Vincent, Gribonval and Fevotte (2006)::

    estimate = reference + (own - reference) + (every - own) + (estimate - every)
                           spatial error       interference    artifacts

What makes it fast: the filters' equations are block-Toeplitz, which takes (p taps)^2 operations
instead of their cube (`local.scoring.bss_toeplitz`); energies are those of spectra
(`local.scoring.bss_projection`).
"""

import importlib
import itertools
import operator
import sys
import types
import warnings

import numpy as np

from local.scoring.bss_projection import SIR, Projection

MAX_SOURCES = 100  # as in museval; with more, the axes are in another order


class BssEvalWarning(UserWarning):
    """Scores are NaN, and not because a source is silent in a frame."""


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
    heard = np.array(
        [(_audible(references[:, f]) & _audible(estimates[:, f])).all() for f in frames]
    )
    options = compute_permutation, taps, bsseval_sources_version
    scores = np.full((4, sources, sources if compute_permutation else 1, len(frames)), np.nan)
    causes = []
    if not heard.any():
        causes.append(_silence(references, estimates))
    elif framewise_filters:
        for t in np.flatnonzero(heard):
            projection = Projection(references[:, frames[t]], estimates[:, frames[t]], *options)
            whole = slice(0, frames[t].stop - frames[t].start)
            scores[..., [t]], cause = projection.scores([whole], heard[[t]])
            causes.append(cause)
    else:
        scores, cause = Projection(references, estimates, *options).scores(frames, heard)
        causes.append(cause)
    for cause in dict.fromkeys(filter(None, causes)):
        warnings.warn(cause, BssEvalWarning, stacklevel=2)

    own = np.arange(sources)[:, None]
    order = own.repeat(len(frames) if framewise_filters else 1, axis=1)
    if compute_permutation:
        groups = np.split(scores[SIR], order.shape[1], axis=-1)
        order = np.stack([_order(group.mean(axis=-1)) for group in groups], axis=1)
    chosen = order if compute_permutation else 0
    return (*scores[:, own, chosen, np.arange(len(frames))], order)


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
    """Warn about sources that are silent throughout, which museval refuses."""
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

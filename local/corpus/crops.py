"""Crops of voices and noises that are not mixed yet: where someone speaks, and how to fill time.

A recording of a voice has pauses of any length. Its *active level* is its mean square without
them: as in ITU-T P.56, what counts is not far below the active level itself. Frames of 0.1 s
take the place of its envelope and hangover.
"""

import numpy as np

FRAME = 0.1  # seconds; a shorter gap between words is no pause
MARGIN_DB = 20.0  # dB below the active level; what is lower is a pause
SPOKEN = 0.3  # of a crop; one with a smaller share of speech is not taken
FADE = 0.01  # seconds of the crossfade where a noise is repeated


def frame_levels(x: np.ndarray, rate: int) -> np.ndarray:
    """Mean squares of frames of ``FRAME`` seconds, float64 (frame,); a last part counts as one.

    Args:
        x: (time,), at least one sample.
        rate: Hz.
    """
    starts = np.arange(0, len(x), max(1, round(FRAME * rate)))
    lengths = np.diff(starts, append=len(x))
    return np.add.reduceat(np.square(x, dtype=np.float64), starts) / lengths


def active_level(levels: np.ndarray) -> float:
    """The mean of the frames that are no pause: those above ``MARGIN_DB`` below this mean.

    It is sought from the loudest frame down, so that speech is found in any length of pauses; a
    click counts in the mean of its frame only. 0 for silence.

    Args:
        levels: of ``frame_levels``.
    """
    level, before = float(levels.max(initial=0)), -1
    while level and level != before:
        before = level
        level = float(levels[levels > level * 10 ** (-MARGIN_DB / 10)].mean())
    return level


def active_share(levels: np.ndarray, active: float) -> float:
    """Which share of the frames is no pause, where ``active`` is the recording's active level."""
    return float(np.mean(levels > active * 10 ** (-MARGIN_DB / 10)))


def repeat(x: np.ndarray, size: int, rate: int) -> np.ndarray:
    """A sound (time,) repeated until it has ``size`` samples, with a crossfade at each joint.

    A longer one is cut at its end.
    """
    if len(x) >= size:
        return x[:size]
    fade = min(round(FADE * rate), len(x) // 4)
    rise = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / max(fade, 1)).astype(x.dtype)
    period = x[: len(x) - fade].copy()
    period[:fade] = rise * x[:fade] + rise[::-1] * x[len(x) - fade :]
    return np.concatenate([x[: len(x) - fade], np.resize(period, size - len(x) + fade)])

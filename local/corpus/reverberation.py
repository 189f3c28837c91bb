"""Rooms: measured or simulated responses, and a voice as it sounds in one.

A response is a sound file of one channel whose loudest part is the direct sound. The voice of a
mixture is the *whole* reverberant voice, early reflections and tail: what one hears of the speaker
in that room. So voice plus noise is the mixture, and no speech is in the noise; winnow separates,
it does not take away reverberation. Noises were recorded in rooms of their own, and stay as they
are.
"""

from typing import NamedTuple

import numpy as np

ONSET = 0.1  # of the peak; where a response first reaches it, the direct sound arrives


class Room(NamedTuple):
    """A response among those that training draws from; the columns of a list of rooms."""

    file: str
    sample_rate: int
    num_samples: int
    group: str


def reverberate(voice: np.ndarray, response: np.ndarray) -> np.ndarray:
    """A voice in a room: its convolution with the response, at the voice's level.

    The direct sound stays where the voice is in time, whatever delay the response has, and what
    sounds on after the last sample is cut off.

    Args:
        voice: float32 (time,).
        response: float32 (time,), of any length, at the same rate, not silent.

    Returns:
        float32 (time,), of the voice's mean square; silence where the voice is silent.
    """
    from scipy.signal import fftconvolve

    size = np.abs(response)
    direct = int(np.argmax(size >= ONSET * size.max()))
    wet = fftconvolve(voice.astype(np.float64), response[direct:])[: len(voice)]
    before, after = np.mean(np.square(voice, dtype=np.float64)), np.mean(wet**2)
    gain = np.sqrt(before / after) if after > 0 else 0.0
    return (gain * wet).astype(np.float32)

"""RNNoise through the package pyrnnoise: the noise is what it removes from the mixture."""

import ctypes
import weakref

import numpy as np
from pyrnnoise import rnnoise

from local.blocks.tools import FrameTool

FULL_SCALE = np.float32(32768)  # RNNoise's samples are 16-bit integers, held in floats
FLOATS = ctypes.POINTER(ctypes.c_float)


class RNNoise(FrameTool):
    """The voice is RNNoise's output without its delay, the noise is the mixture minus the voice.

    Departs from the package's class: samples are floats throughout, not rounded to 16 bits and not
    clipped.

    Args:
        sample_rate: Hz.
    """

    rate, block, delay = rnnoise.SAMPLE_RATE, rnnoise.FRAME_SIZE, 2 * rnnoise.FRAME_SIZE

    def begin(self):
        """A new state of the library, freed when nobody holds it."""
        return _State()

    def denoise(self, block, state):
        """See ``FrameTool``."""
        return state.process(block), state


class _State:
    """The library's memory of one recording."""

    def __init__(self):
        self._at = rnnoise.create()
        weakref.finalize(self, rnnoise.destroy, self._at)

    def process(self, block: np.ndarray) -> np.ndarray:
        """float32 (block,) -> (block,)."""
        samples = block * FULL_SCALE
        place = samples.ctypes.data_as(FLOATS)
        rnnoise.lib.rnnoise_process_frame(self._at, place, place)
        return samples / FULL_SCALE

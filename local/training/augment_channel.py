"""Augmentations of the way from a sound to its file: filters, overload, coding.

What is not linear is applied to each source by itself, so that the mixture is still their sum.
"""

import math
from collections.abc import Callable

import numpy as np

from local.training.ranges import pair

TRANSITION = 0.1  # share of the cut-off over which a low-pass falls
LOWEST = 62.5  # Hz, the first of an equaliser's knots; they are an octave apart


class BandLimit:
    """The same low-pass on both sources, like that of a narrow-band recorder or codec.

    Flat to 0.9 of the cut-off, zero above 1.0 of it, a raised cosine between; zero phase.

    Args:
        bounds: lowest and highest cut-off in Hz, drawn evenly in octaves. What lies at the
            Nyquist frequency or above changes nothing.
    """

    def __init__(self, bounds: list[float], sample_rate: int):
        self.low, self.high = pair("data.augment.band_limit", bounds, above=0)
        self.sample_rate = sample_rate

    def __call__(self, sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        cutoff = np.exp(rng.uniform(np.log(self.low), np.log(self.high)))
        if cutoff >= self.sample_rate / 2:
            return sources
        width = TRANSITION * cutoff

        def response(frequencies):
            fall = np.clip((frequencies - (cutoff - width)) / width, 0, 1)
            return 0.5 + 0.5 * np.cos(np.pi * fall)

        return _filtered(sources, response, self.sample_rate, 4 / width)


class Equaliser:
    """A gain over frequency for each source, like that of another room, microphone or loudspeaker.

    A gain is drawn for every octave from 62.5 Hz up; between them it is linear in dB over the
    logarithm of the frequency; zero phase.

    Args:
        largest: gain in dB, up or down.
    """

    def __init__(self, largest: float, sample_rate: int):
        self.largest, self.sample_rate = largest, sample_rate
        octaves = max(1, math.ceil(math.log2(sample_rate / 2 / LOWEST)))
        self.knots = np.arange(octaves + 1)

    def __call__(self, sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        gains = rng.uniform(-self.largest, self.largest, size=(len(sources), len(self.knots)))

        def response(frequencies):
            places = np.log2(np.maximum(frequencies, LOWEST) / LOWEST)
            curves = np.stack([np.interp(places, self.knots, gain) for gain in gains])
            return 10 ** (curves / 20)

        return _filtered(sources, response, self.sample_rate, 2 / LOWEST)


class Clipping:
    """Each source cut off at a level below its peak, like that of an overloaded input.

    Args:
        bounds: least and largest distance from the peak in dB, drawn evenly.
    """

    def __init__(self, bounds: list[float], sample_rate: int):
        self.low, self.high = pair("data.augment.clipping", bounds)

    def __call__(self, sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        depth = rng.uniform(self.low, self.high, size=(len(sources), 1))
        limit = (np.abs(sources).max(-1, keepdims=True) * 10 ** (-depth / 20)).astype(np.float32)
        return np.clip(sources, -limit, limit)


class Codec:
    """Each source through a companded code of few bits, as of a telephone (ITU-T G.711, mu-law).

    Args:
        bounds: fewest and most bits of a sample, drawn evenly in whole bits; G.711 has 8.
    """

    MU = 255.0  # of G.711

    def __init__(self, bounds: list[int], sample_rate: int):
        self.low, self.high = pair("data.augment.codec", bounds, above=1)

    def __call__(self, sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        bits = rng.integers(self.low, self.high, size=(len(sources), 1), endpoint=True)
        peak = np.maximum(np.abs(sources).max(-1, keepdims=True), np.finfo(np.float32).tiny)
        steps = 2.0 ** (bits - 1) - 1
        squeezed = np.log1p(self.MU * np.abs(sources / peak)) / np.log1p(self.MU)
        sizes = np.expm1(np.round(squeezed * steps) / steps * np.log1p(self.MU)) / self.MU
        return (np.sign(sources) * sizes * peak).astype(np.float32)


def _filtered(
    sources: np.ndarray, response: Callable[[np.ndarray], np.ndarray], rate: int, ring: float
) -> np.ndarray:
    """Sources (2, time) through a zero-phase filter.

    Args:
        sources: (2, time).
        response: frequencies in Hz -> gains (frequency,) or (2, frequency).
        rate: Hz.
        ring: seconds for which the filter rings; zeros of this length stand at the end, because
            a filter in the frequency domain is circular.
    """
    time = sources.shape[1]
    size = _even(time + round(ring * rate))
    gains = response(np.fft.rfftfreq(size, 1 / rate)).astype(np.float32)
    return np.fft.irfft(np.fft.rfft(sources, size) * gains, size)[:, :time].astype(np.float32)


def _even(size: int) -> int:
    """The next power of two, or three quarters of it: sizes that an FFT is fast at."""
    power = 2 ** math.ceil(math.log2(size))
    return power * 3 // 4 if size <= power * 3 // 4 else power

"""Noises made by rule: kinds that a training set's recordings may lack.

Each is drawn anew, of root mean square 1, from ``rng`` alone.
"""

import math

import numpy as np

LOWEST = 30.0  # Hz under which colours are flat


def draw(time: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """A noise (time,) of a kind drawn from ``KINDS``, float32.

    Args:
        time: samples.
        rate: Hz.
        rng: of everything that is drawn.
    """
    kind = list(KINDS.values())[rng.integers(len(KINDS))]
    noise = kind(time, rate, rng)
    return (noise / max(math.sqrt(np.mean(noise**2)), 1e-12)).astype(np.float32)


def coloured(time: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise whose power falls as 1/f^a, a from -0.5 (brighter than white) to 2 (brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(time))
    frequencies = np.maximum(np.fft.rfftfreq(time, 1 / rate), LOWEST)
    return np.fft.irfft(spectrum * frequencies ** (-rng.uniform(-0.5, 2) / 2), time)


def modulated(time: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Coloured noise whose level swings by 6 to 30 dB, 0.2 to 20 times a second: a machine."""
    turns = np.arange(time) / rate * np.exp(rng.uniform(np.log(0.2), np.log(20)))
    swing = rng.uniform(6, 30) / 2 * np.sin(2 * np.pi * (turns + rng.random()))
    return coloured(time, rate, rng) * 10 ** (swing / 20)


def hum(time: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Harmonics of 40 to 400 Hz that fall by 6 to 18 dB an octave on average, phases drawn."""
    fundamental = np.exp(rng.uniform(np.log(40), np.log(400)))
    orders = np.arange(1, max(2, int(min(40, rate / 2 // fundamental))))
    levels = -rng.uniform(3, 9) * np.log2(orders) * 2 + rng.normal(0, 4, len(orders))
    angles = 2 * np.pi * fundamental * orders[:, None] * np.arange(time) / rate
    angles += rng.uniform(0, 2 * np.pi, (len(orders), 1))
    return (10 ** (levels / 20)) @ np.sin(angles)


def impulses(time: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Clicks at random moments, 0.5 to 20 a second, each a decaying burst of 1 to 30 ms."""
    count = 1 + rng.poisson(np.exp(rng.uniform(np.log(0.5), np.log(20))) * time / rate)
    train = np.zeros(time)
    train[rng.integers(time, size=count)] = rng.normal(0, 1, count)
    decay = rng.uniform(0.001, 0.03) * rate
    burst = rng.standard_normal(math.ceil(6 * decay))
    burst *= np.exp(-np.arange(len(burst)) / decay)
    size = time + len(burst)
    return np.fft.irfft(np.fft.rfft(train, size) * np.fft.rfft(burst, size), size)[:time]


KINDS = {"coloured": coloured, "modulated": modulated, "hum": hum, "impulses": impulses}

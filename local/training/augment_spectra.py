"""Augmentations of what a source's spectrum does over time: its tempo, its pitch, its formants.

As Cohen-Hadria, Roebel and Peeters 2019, "Improving singing voice separation using Deep U-Net and
Wave-U-Net with data augmentation", section 3, whose shifts are made by another program (the
authors' phase vocoder); the ranges here are ours. torch is imported where it is used, because
settings are checked with this module before anything runs.
"""

import math

import numpy as np

from local import SOURCES
from local.base import audio
from local.training.ranges import pair

WINDOW, OVERLAP = 0.032, 4  # seconds, and windows over every sample
STEPS = 100  # a factor is drawn in hundredths, as those of ``Speed``
ENVELOPE = 0.0015  # seconds of the cepstrum that are the envelope: below the period of any voice
LARGEST = 20.0  # dB by which an envelope may raise or lower a bin
ROUNDING = 1e-6  # samples
TINY = 1e-30  # the logarithm of silence is finite
FLOOR = 1e-4  # of the largest magnitude: an envelope does not follow what is quieter


class Stretch:
    """Another tempo for each source at its own pitch, by a phase vocoder.

    Args:
        bounds: lowest and highest factor; above 1 is faster.
    """

    def __init__(self, bounds: list[float], sample_rate: int):
        self.low, self.high = pair("data.augment.stretch", bounds, above=0)
        self.size = _window(sample_rate)

    def reach(self, frames: int) -> int:
        """How many samples in give ``frames`` samples out."""
        return math.ceil(frames * self.high - ROUNDING)

    def __call__(self, sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        frames = math.floor(sources.shape[1] / self.high + ROUNDING)
        factors = rng.uniform(self.low, self.high, size=len(sources))
        return np.stack([
            stretched(x, factor, frames, self.size)
            for x, factor in zip(sources, factors, strict=True)
        ])  # fmt: skip


class Pitch:
    """Another pitch for each source at its own tempo: stretched, then resampled.

    Formants move with it; ``Envelope`` moves them alone.

    Args:
        bounds: lowest and highest shift in semitones; above 0 is higher.
    """

    def __init__(self, bounds: list[float], sample_rate: int):
        self.low, self.high = pair("data.augment.pitch", bounds)
        self.size = _window(sample_rate)

    def __call__(self, sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        shifts = rng.uniform(self.low, self.high, size=len(sources))
        return np.stack([self._shifted(x, s) for x, s in zip(sources, shifts, strict=True)])

    def _shifted(self, x: np.ndarray, semitones: float) -> np.ndarray:
        # in hundredths, because resampling tabulates a filter for each phase of the ratio
        hundredths = round(STEPS * 2 ** (semitones / 12))
        longer = math.ceil(len(x) * hundredths / STEPS)
        slow = stretched(x, STEPS / hundredths, longer, self.size)
        return audio.resample(slow, hundredths, STEPS)[: len(x)]


class Envelope:
    """The voice's formants moved, its pitch and tempo kept; the noise stays as it is.

    The envelope of each frame is the first part of its cepstrum (Oppenheim and Schafer, "Discrete-
    Time Signal Processing", on homomorphic systems); it is read at other frequencies.

    Args:
        bounds: lowest and highest factor of the formants' frequencies; above 1 is a shorter throat.
    """

    def __init__(self, bounds: list[float], sample_rate: int):
        self.low, self.high = pair("data.augment.envelope", bounds, above=0)
        self.size = _window(sample_rate)
        self.kept = max(2, round(ENVELOPE * sample_rate))

    def __call__(self, sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        import torch

        factor = rng.uniform(self.low, self.high)
        voice = SOURCES.index("voice")
        bins = _bins(sources[voice], self.size)
        size = bins.abs()
        cepstrum = torch.fft.irfft((size + FLOOR * size.max() + TINY).log(), dim=0)
        cepstrum[self.kept : len(cepstrum) - self.kept + 1] = 0
        envelope = torch.fft.rfft(cepstrum, dim=0).real.numpy()
        places = np.arange(len(envelope))
        moved = np.stack([np.interp(places / factor, places, frame) for frame in envelope.T], 1)
        most = LARGEST / 20 * math.log(10)
        gain = torch.from_numpy(np.exp(np.clip(moved - envelope, -most, most)).astype(np.float32))
        changed = sources.copy()
        changed[voice] = _waveform(bins * gain, sources.shape[1], self.size)
        return changed


def stretched(x: np.ndarray, factor: float, frames: int, size: int) -> np.ndarray:
    """A signal (time,) ``factor`` times as fast, as (frames,); its pitch stays.

    Args:
        x: (time,).
        factor: above 1 is faster.
        frames: samples out; what is missing is zeros.
        size: samples of a window.
    """
    import torch
    import torchaudio

    hop = size // OVERLAP
    advance = torch.linspace(0, math.pi * hop, size // 2 + 1).unsqueeze(1)
    bins = torchaudio.functional.phase_vocoder(_bins(x, size), factor, advance)
    return _waveform(bins, frames, size)


def _window(sample_rate: int) -> int:
    return max(OVERLAP, round(WINDOW * sample_rate) // OVERLAP * OVERLAP)


def _bins(x: np.ndarray, size: int):
    """STFT of (time,): (frequency, frame), zeros around it, a window of them at the end."""
    import torch

    return torch.stft(
        torch.from_numpy(np.pad(x, (0, size))), size, size // OVERLAP,
        window=torch.hann_window(size), pad_mode="constant", return_complex=True,
    )  # fmt: skip


def _waveform(bins, frames: int, size: int) -> np.ndarray:
    """The inverse of ``_bins``, cut or filled with zeros to (frames,)."""
    import torch

    out = torch.istft(bins, size, size // OVERLAP, window=torch.hann_window(size))[:frames]
    return np.pad(out.numpy(), (0, frames - len(out)))

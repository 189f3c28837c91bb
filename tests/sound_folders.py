"""Small folders of voices, noises and room responses for tests."""

from pathlib import Path

import numpy as np
import soundfile
from triplet_trees import RATE, signals

VOICE_SECONDS, NOISE_SECONDS = 2.0, 1.0


def voice(seed: int, seconds: float = VOICE_SECONDS) -> np.ndarray:
    return signals(seed, round(seconds * RATE))[0] / 32768


def noise(seed: int, seconds: float = NOISE_SECONDS) -> np.ndarray:
    return signals(seed, round(seconds * RATE))[1] / 32768


def response(seed: int) -> np.ndarray:
    """A direct sound after 20 samples, and a tail of 0.1 s."""
    rng = np.random.default_rng(seed)
    tail = 0.1 * rng.standard_normal(800) * np.exp(-np.arange(800) / 200)
    return np.concatenate([np.zeros(20), [0.9], tail])


def put(path: Path, x: np.ndarray, rate: int = RATE) -> Path:
    """A 16-bit file, the folder above it made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, rate, subtype="PCM_16")
    return path


def make_voices(root: Path, speakers: int, files: int = 2) -> Path:
    """``root/s1/0.wav`` and so on."""
    for i in range(speakers):
        for k in range(files):
            put(root / f"s{i + 1}" / f"{k}.wav", voice(10 * i + k))
    return root


def make_noises(root: Path, count: int) -> Path:
    """``root/n1.flac`` and so on."""
    for i in range(count):
        put(root / f"n{i + 1}.flac", noise(1000 + i))
    return root


def make_rooms(root: Path, count: int) -> Path:
    """``root/r1.wav`` and so on."""
    for i in range(count):
        put(root / f"r{i + 1}.wav", response(i))
    return root

"""DNSMOS: what listeners would say of a recording, predicted from the recording alone.

Two networks of Microsoft: P.835 (Reddy, Gopal and Cutler 2022, "DNSMOS P.835: a non-intrusive
perceptual objective speech quality metric to evaluate noise suppressors") rates speech, background
and the whole; P.808 (Reddy, Gopal and Cutler 2021) the quality. All from 1 to 5.

The networks come with the package ``speechmos`` and run in onnxruntime. What stands around them is
that of ``DNSMOS/dnsmos_local.py`` in github.com/microsoft/DNS-Challenge and of
``speechmos.dnsmos``, which asks for librosa, written anew: windows of 9.01 s, one each second,
whose ratings a polynomial maps to the scale of listeners; their mean.
"""

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local.base.errors import UserError

RATE = 16000  # Hz, what the networks hear
SECONDS = 9.01  # in a window
LENGTH = int(SECONDS * RATE)
NAMES = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808")
SCALE = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""Polynomials, the highest power first, in the order of the network's output."""
FRAME, HOP, BANDS = 321, 160, 120  # samples, samples, and mel bands of what P.808 sees
RANGE_DB = 80.0  # below the largest value of a spectrogram


class Networks(NamedTuple):
    """Both networks, as sessions of onnxruntime."""

    p835: object
    p808: object


def score(samples: np.ndarray, rate: int, through: Callable = iter) -> dict[str, float]:
    """The ratings of a recording, by ``NAMES``.

    A recording of less than 9.01 s is repeated (doubled until it is long enough). Other rates than
    16 kHz are resampled; what lies above 8 kHz is not heard.

    Args:
        samples: (time,), from 1 on, finite; full scale is 1, and the level counts.
        rate: Hz.
        through: windows -> the same; what shows the progress, such as a bar.

    Raises:
        UserError: the packages are missing.
    """
    from local.base import audio

    networks = load()
    samples = audio.resample(np.asarray(samples, np.float32), rate, RATE)
    period = len(samples)
    repetitions = _repetitions(period)
    repeated = np.tile(samples, repetitions) if repetitions > 1 else samples
    # where a recording is repeated, windows return
    starts = window_starts(len(repeated))
    phases, counts = np.unique([start % period for start in starts], return_counts=True)
    ratings = [_window(networks, repeated[at : at + LENGTH]) for at in through(phases)]
    return dict(zip(NAMES, np.average(ratings, 0, counts).tolist(), strict=True))


def window_starts(length: int) -> list[int]:
    """Where windows start in so many samples, at least ``LENGTH``.

    As in Microsoft's programs, whose arithmetic makes windows one sample too short, and drops them,
    where they start 7 to 23 s and 119 to 122 s after the beginning: published numbers lack them.
    """
    count = int(length // RATE - SECONDS) + 1
    stops = [int((second + SECONDS) * RATE) for second in range(count)]
    return [second * RATE for second, stop in enumerate(stops) if stop - second * RATE >= LENGTH
            and stop <= length]  # fmt: skip


def check() -> None:
    """Whether the packages are there.

    Raises:
        UserError: they are not; the line says how to get them.
    """
    missing = [name for name in ("onnxruntime", "speechmos") if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(f"DNSMOS needs {' and '.join(missing)}: ./run.sh --metrics dnsmos and"
                        " ./separate.sh score install what is missing; elsewhere,"
                        " pip install 'winnow[dnsmos]'")  # fmt: skip


@functools.lru_cache(maxsize=1)
def load() -> Networks:
    """The networks, each on one thread.

    Raises:
        UserError: the packages are missing.
    """
    check()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    folder = Path(importlib.util.find_spec("speechmos").origin).parent / "dnsmos_models"
    return Networks(*(
        onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
        for name in ("sig_bak_ovr.onnx", "model_v8.onnx")
    ))  # fmt: skip


def log_mel(samples: np.ndarray) -> np.ndarray:
    """What P.808 sees of samples: (frame, band) float32, librosa's melspectrogram in dB.

    Power of Hann frames around every ``HOP`` samples, zeros beyond the ends, in mel bands; dB below
    the largest, down to -80, as (dB + 40) / 40.
    """
    padded = np.pad(samples.astype(np.float32), FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    power = np.square(np.abs(np.fft.rfft(frames * hann)))
    decibels = 10 * np.log10(np.maximum(power @ mel_bands().T, 1e-10))
    decibels -= decibels.max()
    return ((np.maximum(decibels, -RANGE_DB) + 40) / 40).astype(np.float32)


@functools.lru_cache(maxsize=1)
def mel_bands() -> np.ndarray:
    """Triangles (band, bin) on Slaney's mel scale, each of area 1, from 0 to 8000 Hz.

    The scale is linear up to 1000 Hz, a mel being 200 / 3 Hz, and logarithmic above, 27 mels
    being a factor of 6.4 (Slaney 1998, Auditory Toolbox).
    """
    linear, step = 15.0, np.log(6.4) / 27
    mels = np.linspace(0, linear + np.log(RATE / 2 / 1000) / step, BANDS + 2)
    edges = np.where(mels < linear, mels * 200 / 3, 1000 * np.exp((mels - linear) * step))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = np.fft.rfftfreq(FRAME, 1 / RATE)
    rise, fall = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)


def _repetitions(length: int) -> int:
    """By how much a recording is repeated to fill a window: a power of two."""
    count = 1
    while count * length < LENGTH:
        count *= 2
    return count


def _window(networks: Networks, samples: np.ndarray) -> list[float]:
    """The ratings of one window, in the order of ``NAMES``."""
    raw = networks.p835.run(None, {"input_1": samples[None]})[0][0]
    mapped = {name: np.polyval(SCALE[name], value)
              for name, value in zip(SCALE, raw, strict=True)}  # fmt: skip
    # the last frame would be one too many for the network
    heard = log_mel(samples[:-HOP])[None]
    mapped["dnsmos_p808"] = networks.p808.run(None, {"input_1": heard})[0][0][0]
    return [float(mapped[name]) for name in NAMES]

"""Sound files as arrays: reading, writing, another sample rate.

soundfile reads and writes everything. An array has shape (time,) and is float32; full scale
is 1, so a 16-bit sample is an integer over 32768, and reading and writing again keeps it.
"""

import functools
import io
import math
import os
from pathlib import Path

import numpy as np
import soundfile

from local.base import sound_header
from local.base.disk import replace
from local.base.errors import UserError
from local.base.file_kind import irregular

LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz, of recordings and models; outside, it is a mistake
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
KAISER_BEST = {
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "beta": 14.769656459379492,
}
"""A Kaiser-windowed sinc of 64 zero crossings (resampy's "kaiser_best"): flat to 0.85 of the
lower Nyquist frequency within -98 dB, where torchaudio's default of 6 crossings is 16 dB off."""
LARGEST_TABLE = 2**22  # weights of that filter for all phases, beyond which they are not tabulated
TABLES = 32  # of ratios that are kept: changes of speed in training draw from 21


def read(
    path: Path | str, start: int = 0, frames: int = -1, channel: int | None = None
) -> tuple[np.ndarray, int]:
    """Read a sound file, or a part of it.

    Args:
        path: any format that libsndfile knows.
        start: first sample.
        frames: number of samples; -1, or more than there are: up to the end.
        channel: which channel to take of several, counted from 0; None where the file has one.

    Returns:
        samples: float32 (time,).
        rate: Hz.

    Raises:
        UserError: missing, unreadable, not a sound file; several channels and none chosen.
    """
    try:
        with open_sound(path) as file:
            file.seek(min(start, file.frames))
            samples, rate = file.read(frames, dtype="float32", always_2d=True), file.samplerate
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    count = samples.shape[1]
    if channel is None and count > 1:
        raise UserError(f"{path}: expected 1 channel, found {count}; choose one of them")
    if count > 1 and channel >= count:
        raise UserError(f"{path}: expected channel {channel} (from 0), found {count} channels")
    return np.ascontiguousarray(samples[:, channel if count > 1 else 0]), rate


def open_sound(path: Path | str, **raw) -> soundfile.SoundFile:
    """Open a sound file; all of winnow does it here.

    A wav whose writer was killed before it wrote a size holds what is there.

    Args:
        path: a regular file of any format that libsndfile knows.
        raw: soundfile's options for samples without a header.

    Raises:
        UserError: missing, no regular file, no sound file; the line does not name it.
    """
    what = irregular(path)
    if what == "nothing there":
        raise UserError("not there")
    if what:
        raise UserError(f"expected a sound file, found {what}")
    try:
        file = soundfile.SoundFile(os.fsencode(path), **raw)
        if not file.frames and not raw:
            patch = look_inside(path)[0].patch
            if patch:
                file.close()
                file = _Patched(path, patch)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"cannot be read ({reason(error)})") from None
    except TypeError:  # soundfile's, on a name that ends in .raw
        raise UserError("cannot be read (samples without a header)") from None
    return file


def look_inside(path: Path | str) -> tuple[sound_header.Samples, bool]:
    """Where the samples of a file are, and whether it is an Ogg file that was cut off.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            samples = sound_header.find(file)
        except EOFError:
            samples = None
        return samples or sound_header.Samples(0, None, 0, {}), sound_header.is_cut_ogg(file)


class _Patched(soundfile.SoundFile):
    """A sound file with other bytes at some places of its header."""

    def __init__(self, path: Path | str, patch: dict[int, bytes]):
        self._source = _Overlay(path, patch)
        super().__init__(self._source)

    def close(self) -> None:
        """Both."""
        super().close()
        self._source.close()


class _Overlay(io.FileIO):
    """A file, read with other bytes at some places."""

    def __init__(self, path: Path | str, patch: dict[int, bytes]):
        super().__init__(path)
        self._patch = patch

    def readinto(self, buffer) -> int:
        """What is there, patched."""
        at, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view)
        for place, data in self._patch.items():
            for i, byte in enumerate(data, place - at):
                if 0 <= i < count:
                    view[i] = byte
        return count


def write(path: Path | str, samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> None:
    """Write a sound file atomically; the extension gives the format.

    Integer subtypes are rounded to the nearest step (libsndfile would round down) and samples
    beyond full scale are clipped; ``FLOAT`` keeps every level.

    Args:
        samples: (time,), or (time, channel); full scale is 1.
        rate: Hz.
        subtype: PCM_16, PCM_24, PCM_32, FLOAT or another of soundfile's.

    Raises:
        UserError: an unknown extension or subtype, or NaN (which integers cannot hold).
        OSError: no room, or no place to write to.
    """
    path = Path(path)
    try:
        if subtype in BITS:
            samples = quantise(np.asarray(samples), BITS[subtype])
        with replace(path) as temporary, Sink(temporary) as sink:
            try:
                soundfile.write(sink, samples, rate, subtype, format=path.suffix[1:].upper())
            except (AssertionError, soundfile.LibsndfileError):
                if sink.fault is None:
                    raise
            if sink.fault is not None:
                raise sink.fault
    except (ValueError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot be written ({error})") from None


class Sink(io.FileIO):
    """A file that keeps the fault of its disk, for libsndfile does not tell which, or that, it was.

    Closing it twice, or a descriptor that it was given, does no harm.
    """

    def __init__(self, file: Path | int):
        super().__init__(file, "w+", closefd=not isinstance(file, int))
        self.fault = None

    def write(self, data) -> int:
        """All of it, as libsndfile asks; a fault is kept."""
        written, data = 0, memoryview(data)
        try:
            while written < len(data):
                written += super().write(data[written:])
        except OSError as error:
            self.fault = self.fault or error
        return written


def resample(x, rate_from: int, rate_to: int):
    """Another sample rate for the same sound (torchaudio, ``KAISER_BEST``).

    The filter is tabulated for each phase of the ratio in lowest terms: 44100 to 16000 Hz are
    160 phases. Where large coprime numbers would make the table too large, each weight is computed
    where it is needed, which is slower.

    Args:
        x: tensor or numpy array (..., time), of a floating type, which stays.
        rate_from, rate_to: Hz.

    Returns:
        the like (..., ceil(time * rate_to / rate_from)); ``x`` itself where the rates are equal.
    """
    if rate_from == rate_to:
        return x
    import torch

    step_from, step_to = lowest_terms(rate_from, rate_to)
    small = step_to * (2 * reach(rate_from, rate_to) + step_from) <= LARGEST_TABLE
    tensor = torch.as_tensor(x)
    if small:
        y = _table(step_from, step_to, tensor.dtype, tensor.device)(tensor.contiguous())
    else:
        y = _interpolate(tensor, step_from, step_to)
    return y if isinstance(x, torch.Tensor) else y.numpy()


def lowest_terms(rate_from: int, rate_to: int) -> tuple[int, int]:
    """The smallest numbers of samples at both rates that last equally long."""
    common = math.gcd(rate_from, rate_to)
    return rate_from // common, rate_to // common


def reach(rate_from: int, rate_to: int) -> int:
    """Samples at ``rate_from`` on either side on which a sample at ``rate_to`` depends."""
    bandwidth = min(1.0, rate_to / rate_from) * KAISER_BEST["rolloff"]
    return math.ceil(KAISER_BEST["lowpass_filter_width"] / bandwidth)


@functools.lru_cache(maxsize=TABLES)
def _table(step_from: int, step_to: int, dtype, device):
    """torchaudio's filters of a ratio: the change of speed in training needs the same few again."""
    import torch
    from torchaudio.transforms import Resample

    with torch.inference_mode(False):  # for gradients too, whoever asked first
        return Resample(step_from, step_to, **KAISER_BEST, dtype=dtype).to(device)


def _interpolate(x, step_from: int, step_to: int):
    """What torchaudio computes, without its table; ``x`` is a tensor (..., time)."""
    import torch

    width, beta = KAISER_BEST["lowpass_filter_width"], KAISER_BEST["beta"]
    bandwidth = min(1.0, step_to / step_from) * KAISER_BEST["rolloff"]
    side = reach(step_from, step_to)
    taps = torch.arange(-side, side + 1)
    padded = torch.nn.functional.pad(x, (side, side + 1))
    parts = []
    for positions in torch.arange(-(-x.shape[-1] * step_to // step_from)).split(2**20 // len(taps)):
        nearest = positions * step_from // step_to  # in whole numbers: exact in any long file
        phase = (positions * step_from % step_to).double() / step_to
        crossings = ((taps - phase.unsqueeze(1)) * bandwidth).clamp(-width, width)
        window = torch.i0(beta * (1 - (crossings / width) ** 2).sqrt()) / torch.i0(
            torch.tensor(beta, dtype=torch.float64)
        )
        weights = (torch.sinc(crossings) * window * bandwidth).to(x)
        samples = padded[..., (nearest.unsqueeze(1) + side + taps).to(x.device)]
        parts.append((samples * weights).sum(-1))
    return torch.cat(parts, -1)


def quantise(samples: np.ndarray, bits: int) -> np.ndarray:
    """Floats to integers of so many bits, in the upper bits of what soundfile takes.

    Raises:
        ValueError: NaN.
    """
    if np.isnan(samples).any():
        raise ValueError("the samples hold NaN")
    full = 2 ** (bits - 1)
    steps = np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1)
    if bits == 16:
        return steps.astype(np.int16)
    return steps.astype(np.int32) << (32 - bits)


def reason(error: Exception) -> str:
    """What libsndfile, or the system, says of a fault; some of libsndfile's texts are empty."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return text if text.strip() else "damaged"

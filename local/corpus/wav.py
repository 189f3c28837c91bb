"""Sound files, checked before they are trusted.

Without a warning, libsndfile reads the rest of a truncated file, or a FLAC named ``.wav``. ``Wav``
first checks what the file is and compares its header with its size, and raises a ``Fault`` with
what it expected and found. ``Sound`` takes any format.
"""

import os
from pathlib import Path

import numpy as np
import soundfile

from local.base import audio, sound_header
from local.base.errors import UserError
from local.base.file_kind import irregular


class Fault(Exception):
    """What is wrong with a file."""

    def __init__(self, reason: str, expected: str, found: str):
        super().__init__(reason, expected, found)
        self.reason, self.expected, self.found = reason, expected, found


class Sound:
    """One channel of a sound file, opened for reading; a context manager.

    Args:
        path: the file.
        channel: which channel of several, counted from 0; None where the file must have one.

    Attributes:
        rate: Hz.
        frames: number of samples, at least 1.

    Raises:
        Fault: a carriage return in its name, no regular file, unreadable, no sound file, empty, a
            rate that is a mistake, several channels.
    """

    kind = "sound file"

    def __init__(self, path: Path, channel: int | None = None):
        if "\r" in str(path):  # the tables that name it would be torn there
            found = f"one in {str(path)!r}"
            raise Fault("name that cannot be read", "no carriage return", found)
        try:
            self._file = audio.open_sound(path)
        except UserError as error:
            expected = f"a {self.kind} that libsndfile reads"
            raise Fault(f"not a {self.kind}", expected, str(error)) from None
        self.rate, self.frames = self._file.samplerate, self._file.frames
        self._channel, self._done = channel or 0, 0
        try:
            self._check(channel)
        except Fault:
            self._file.close()
            raise

    def _check(self, channel: int | None) -> None:
        count = self._file.channels
        if not self.frames:
            raise Fault("empty", "samples", "a header without samples")
        if not audio.LOWEST_RATE <= self.rate <= audio.HIGHEST_RATE:
            expected = f"{audio.LOWEST_RATE} to {audio.HIGHEST_RATE} Hz"
            raise Fault("sample rate out of range", expected, f"{self.rate} Hz")
        if channel is None and count > 1:
            choices = " or ".join(f"--channel {i}" for i in range(min(count, 2)))
            raise Fault("several channels", f"1 channel (or {choices})", f"{count} channels")
        if count == 1:
            self._channel = 0
        if self._channel >= count:
            raise Fault("several channels", f"channel {channel}, counted from 0", f"{count} in all")

    def read(self, out: np.ndarray) -> None:
        """Fill ``out``, float64 (time,), with the next samples; full scale is 1.

        Raises:
            Fault: truncated (fewer samples than the header says), unreadable file.
        """
        try:
            if self._file.channels == 1:
                count = len(self._file.read(out=out))
            else:
                samples = self._file.read(len(out), dtype="float64", always_2d=True)
                count = len(samples)
                out[:count] = samples[:, self._channel]
        except (OSError, soundfile.LibsndfileError) as error:
            raise Fault("unreadable file", "samples", audio.reason(error)) from None
        self._done += count
        if count < len(out):
            raise Fault("truncated", f"{self.frames} samples", f"{self._done}")

    def __enter__(self) -> "Sound":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()


class Wav(Sound):
    """A wav file whose header and size have been checked.

    Attributes:
        unclosed: whether the header says that there are no samples.

    Raises:
        Fault: not a wav, truncated; and those of ``Sound``.
    """

    kind = "wav"

    def __init__(self, path: Path, channel: int | None = None):
        self.unclosed = _check_header(path)
        super().__init__(path, channel)


def _check_header(path: Path) -> bool:
    """Whether there are samples behind a header that says there are none.

    Raises:
        Fault: no regular file, unreadable, not a wav, fewer bytes than the header says.
    """
    what = irregular(path)
    if what:
        raise Fault("no regular file", "a file", what)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(12)
            if not head:
                raise Fault("empty", "a wav", "0 bytes")
            if head[:4] not in sound_header.WAVE or head[8:] != b"WAVE"[: max(size - 8, 0)]:
                raise Fault("not a wav", "RIFF and WAVE at the head", _show(head))
            samples = sound_header.find(file) if size >= 12 else None
    except OSError as error:
        raise Fault("unreadable file", "a file that can be read", str(error.strerror)) from None
    except EOFError:
        samples = None
    if samples is None:
        raise Fault("truncated", "a chunk of samples", f"the end after {size} bytes")
    if samples.missing:
        expected = f"{samples.promised} bytes of samples"
        raise Fault("truncated", expected, f"{max(0, samples.held)} bytes")
    return bool(samples.patch)


def _show(head: bytes) -> str:
    return repr(head)[2:-1]

"""Wav files, checked before they are trusted.

Without a warning, libsndfile reads the rest of a truncated file, or a FLAC named ``.wav``. ``Wav``
first compares the header with the file's size, and raises a ``Fault`` with what it expected and
found.
"""

import os
import struct
from pathlib import Path

import numpy as np
import soundfile

UNKNOWN_SIZES = (0xFFFFFFFF, 0x7FFFF000)  # from writers that could not go back (ffmpeg's, SoX's)
BYTE_ORDERS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}


class Fault(Exception):
    """What is wrong with a file."""

    def __init__(self, reason: str, expected: str, found: str):
        super().__init__(reason, expected, found)
        self.reason, self.expected, self.found = reason, expected, found


class Wav:
    """One channel of a wav file, opened for reading; a context manager.

    Args:
        path: the file.
        channel: which channel, counted from 0; None where the file must have one.

    Attributes:
        rate: Hz.
        frames: number of samples, at least 1.

    Raises:
        Fault: unreadable file, not a wav, truncated, empty, several channels.
    """

    def __init__(self, path: Path, channel: int | None = None):
        _check_header(path)
        try:
            self._file = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            raise Fault("not a wav", "a wav that libsndfile reads", error.error_string) from None
        self.rate, self.frames = self._file.samplerate, self._file.frames
        self._channel = channel or 0
        try:
            self._check(channel)
        except Fault:
            self._file.close()
            raise

    def _check(self, channel: int | None) -> None:
        count = self._file.channels
        if not self.frames:
            raise Fault("empty", "samples", "a header without samples")
        if channel is None and count > 1:
            choices = " or ".join(f"--channel {i}" for i in range(min(count, 2)))
            raise Fault("several channels", f"1 channel (or {choices})", f"{count} channels")
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
            raise Fault("unreadable file", "samples", str(error)) from None
        if count < len(out):
            raise Fault("truncated", f"{self.frames} samples", f"{self._file.tell()}")

    def __enter__(self) -> "Wav":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()


def _check_header(path: Path) -> None:
    """Walk to the samples and compare their number of bytes with what is there.

    The format: IBM and Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"
    (1991), RIFF; RF64 (64-bit sizes): EBU Tech 3306.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(12)
            if not head:
                raise Fault("empty", "a wav", "0 bytes")
            order = BYTE_ORDERS.get(head[:4])
            if order is None or head[8:] != b"WAVE"[: max(size - 8, 0)]:
                raise Fault("not a wav", "RIFF and WAVE at the head", _show(head))
            long_size = None
            while True:
                chunk = file.read(8)
                if len(chunk) < 8:
                    raise Fault("truncated", "a chunk of samples", f"the end after {size} bytes")
                length = struct.unpack(f"{order}I", chunk[4:])[0]
                if chunk[:4] == b"data":
                    promised = length
                    break
                after = file.tell() + length + length % 2
                if chunk[:4] == b"ds64" and length >= 16:
                    long_size = int.from_bytes(file.read(16)[8:], "little")
                file.seek(after)
            held = size - file.tell()
    except OSError as error:
        raise Fault("unreadable file", "a file that can be read", str(error.strerror)) from None
    if promised in UNKNOWN_SIZES:
        promised = held if long_size is None else long_size
    if held < promised:
        raise Fault("truncated", f"{promised} bytes of samples", f"{held} bytes")


def _show(head: bytes) -> str:
    return repr(head)[2:-1]

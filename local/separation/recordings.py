"""Recordings to separate, in any format that soundfile knows, and their output files.

A recording is read block by block, as often as needed. Estimates wait in a file without a name
until all are there, because only then we know whether one would clip; then they are written
atomically.
"""

import contextlib
import io
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from local.base import audio, sound_header
from local.base.audio import HIGHEST_RATE, LOWEST_RATE
from local.base.disk import replace
from local.base.errors import UserError
from local.separation import pipes

BLOCK = 2**18  # samples of all channels together that are held while reading or writing
NOT_INTEGER = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II",
               "MPEG_LAYER_III")  # fmt: skip
"""Subtypes that can hold more than full scale."""
BITS = audio.BITS | {"FLOAT": 32, "DOUBLE": 64}
SIZES_OF_32_BITS = ("AIFF", "WAV", "WAVEX")
"""Formats beyond whose largest size libsndfile writes on, and reads the beginning at most."""
LARGEST = 2**32 - 2**20  # bytes of their samples, with room for a header and tags
UNKNOWN = 2**62  # samples; a header of more does not know how many there are
PCM = {"s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT"}
"""Samples without a header, little-endian, by the names that ffmpeg has for them."""


class Pcm(NamedTuple):
    """The format of samples without a header on standard input."""

    name: str = "s16le"
    rate: int | None = None
    channels: int = 1

    @classmethod
    def parse(cls, text: str) -> "Pcm":
        """``FORMAT[:RATE[:CHANNELS]]``, such as ``s16le:48000:2``; the rate in Hz.

        Raises:
            ValueError: another format, or no whole numbers from 1.
        """
        name, *numbers = text.split(":")
        numbers = [int(number) for number in numbers]
        if name not in PCM or len(numbers) > 2 or min(numbers, default=1) < 1:
            raise ValueError(text)
        return cls(name, *numbers)

    @property
    def frame_size(self) -> int:
        """Bytes of one sample of all channels."""
        return int(self.name[1:3]) // 8 * self.channels

    def options(self, rate: int) -> dict:
        """soundfile's words for it; ``rate`` in Hz where none was given."""
        return {
            "samplerate": self.rate or rate, "channels": self.channels, "format": "RAW",
            "subtype": PCM[self.name], "endian": "LITTLE",
        }  # fmt: skip


class Recording:
    """A sound file opened for reading; a context manager.

    Args:
        path: the file; a pipe, and ``-``, which is standard input, are copied to a temporary file.
        mono: the mean of the channels instead of each of them.
        raw: soundfile's options for samples without a header.

    Attributes:
        rate: Hz.
        frames: samples of each channel, at least 1; fewer may come of what was cut off.
        channels: how many there are to separate, 1 for ``mono``.
        tags: title, artist and the like.
        remarks: what to tell of it, in words; all are there once its samples were read.
        cut: whether samples are missing.

    Raises:
        UserError: missing, no sound file, no samples, a rate out of range.
        OSError: no room for what comes from a pipe.
    """

    def __init__(self, path: Path | str, mono: bool = False, raw: dict | None = None):
        self.name, self.mono, self._raw = str(path), mono, raw or {}
        self.remarks, self.cut = [], False
        self._spooled = pipes.copied(self.name)
        self._path = self._spooled.name if self._spooled else self.name
        try:
            with self._open() as file:
                self.rate, self.frames = file.samplerate, file.frames
                self._in_file, self.channels = file.channels, 1 if mono else file.channels
                self.format, self.subtype, self.endian = file.format, file.subtype, file.endian
                self.tags = {name: text for name, text in file.copy_metadata().items() if text}
            self._check()
        except (UserError, OSError):
            self.close()
            raise

    def blocks(self, channels: slice = slice(None)) -> Iterator:
        """The samples from the first on.

        Yields:
            float32 tensors (channel, time) of the channels chosen; full scale is 1.

        Raises:
            UserError: none of them can be read.
        """
        import torch

        read = 0
        for block in self._decoded():
            read += len(block)
            block = block.mean(1, keepdims=True) if self.mono else block[:, channels]
            yield torch.from_numpy(np.ascontiguousarray(block.T))
        if read < self.frames:
            self._tell_cut(read, self.frames)

    def _decoded(self) -> Iterator[np.ndarray]:
        """float32 (time, channel), up to the end or to where it is damaged."""
        read, error = 0, None
        with self._open() as file:
            while read < self.frames and error is None:
                block = np.full((max(1, BLOCK // file.channels), file.channels), np.nan, "f4")
                try:
                    block = file.read(out=block)
                except soundfile.LibsndfileError as fault:
                    # what was decoded before it is in the array all the same
                    missing, error = np.isnan(block).any(1), fault
                    block = block[: missing.argmax() if missing.any() else None]
                read += len(block)
                if not len(block):
                    break
                yield block
        if not read:
            why = audio.reason(error) if error else f"none of {self.frames} samples is there"
            raise UserError(f"cannot be read ({why})")

    def _tell_cut(self, read: int, expected: int | None) -> None:
        of = "a number that it does not say" if expected is None else str(expected)
        if not self.cut:
            self.remarks.append(f"is cut off or damaged: {read} of {of} samples are there")
        self.cut = True

    def close(self) -> None:
        """Remove the copy of standard input."""
        if self._spooled:
            self._spooled.close()

    def _open(self) -> soundfile.SoundFile:
        return audio.open_sound(self._path, **self._raw)

    def _check(self) -> None:
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise UserError(f"expected {LOWEST_RATE} to {HIGHEST_RATE} Hz, found {self.rate} Hz")
        samples, cut_ogg = audio.look_inside(self._path)
        if not self.frames:
            cut = samples.missing or cut_ogg
            raise UserError("is cut off before its first sample" if cut else "holds no samples")
        if self.frames >= UNKNOWN:
            self.frames = sum(map(len, self._decoded()))
        if self._raw:
            return
        if samples.patch:
            self.remarks.append(f"says that it holds no samples; {self.frames} are there")
        if samples.missing:
            self._tell_cut(self.frames, round(self.frames * samples.promised / samples.held))
        elif cut_ogg:
            self._tell_cut(self.frames, None)
        elif self._is_chained():
            of = f"the first can be read, {self.frames} samples; convert it with ffmpeg"
            self.remarks.append(f"holds several recordings one behind the other: {of}")
            self.cut = True
        elif samples.promised in (None, 2**32 - 1) and self.subtype in BITS:
            held = 8 * samples.held // (BITS[self.subtype] * self._in_file)
            if held > self.frames and samples.held > LARGEST:
                self.remarks.append(f"holds more than 4 GiB and says no size: {self.frames} of"
                                    f" {held} samples can be read; convert it with ffmpeg"
                                    " -rf64 always")  # fmt: skip
                self.cut = True

    def _is_chained(self) -> bool:
        with open(self._path, "rb") as file:
            return sound_header.is_chained_ogg(file)

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *exception) -> None:
        self.close()


class Format(NamedTuple):
    """How estimates are written: soundfile's names, and Hz."""

    format: str
    subtype: str
    endian: str
    rate: int

    @classmethod
    def of(cls, recording, format=None, subtype=None, rate=None) -> "Format":
        """The recording's own, except for what is given.

        Raises:
            UserError: no such combination.
        """
        endian, other = recording.endian, "--format (wav takes everything)"
        if format is None:
            format = recording.format
        elif format != recording.format:
            endian = "FILE"
        if subtype is not None:
            other = "--subtype or --format"
        else:
            own = cls(format, recording.subtype, endian, rate or recording.rate)
            kept = format == recording.format or own._opens()
            subtype = recording.subtype if kept else soundfile.default_subtype(format)
        if subtype is None or not soundfile.check_format(format, subtype, endian):
            raise UserError(f"cannot be written as {format} {subtype or ''}".rstrip()
                            + f"; choose another with {other}")  # fmt: skip
        return cls(format, subtype, endian, rate or recording.rate)

    def _opens(self) -> bool:
        """soundfile.check_format says yes to what cannot be written, such as MP3 in a wav."""
        try:
            self.open(io.BytesIO(), 1).close()
        except (ValueError, soundfile.LibsndfileError):
            return False
        return True

    def check(self, channels: int, frames: int) -> None:
        """Check that it takes so many channels and samples and its rate, before hours of work.

        Raises:
            UserError: it does not.
        """
        bits = BITS.get(self.subtype, 0) * channels * frames
        if self.format in SIZES_OF_32_BITS and bits / 8 > LARGEST:
            raise UserError(f"would be {bits / 2**33:.1f} GiB of samples, and a file in the format"
                            f" {self.format} holds 4 GiB; choose another with --format (w64, rf64)"
                            )  # fmt: skip
        try:
            self.open(io.BytesIO(), channels).close()
        except soundfile.LibsndfileError as error:
            raise UserError(
                f"cannot be written as {self.format} {self.subtype} of {channels} channels at"
                f" {self.rate} Hz ({error.error_string.rstrip('.')}); choose another with --format"
                " or --rate"
            ) from None

    def open(self, file, channels: int) -> soundfile.SoundFile:
        """A binary file, as a sound file to write to."""
        return soundfile.SoundFile(
            file, "w", self.rate, channels, self.subtype, self.endian, self.format
        )

    @property
    def limit(self) -> float:
        """The largest magnitude that does not clip; infinite for floats."""
        if self.subtype in NOT_INTEGER:
            return math.inf
        return 1 + 2.0 ** (1 - audio.BITS.get(self.subtype, 16))


class Spool:
    """Estimates (output, channel, time) as they come, float32, in a file without a name.

    Args:
        folder: which has room for 4 bytes per sample; None: that for temporary files.
        outputs, channels, frames: the shape, at most so many frames.

    Attributes:
        frames: how many there are so far.
        peak: the largest magnitude so far.
    """

    def __init__(self, folder: Path | None, outputs: int, channels: int, frames: int):
        self.shape = outputs, channels, frames
        self.frames, self.peak = 0, 0.0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def write(self, samples: np.ndarray, channel: int, start: int) -> None:
        """Keep float32 (output, channel, time), from a channel and a sample on."""
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0)))
        self.frames = max(self.frames, start + samples.shape[-1])
        for output, of_output in enumerate(samples):
            for of_channel, row in enumerate(of_output):
                self._file.seek(self._place(output, channel + of_channel, start))
                self._file.write(np.ascontiguousarray(row))

    def read(self, output: int, start: int, count: int) -> np.ndarray:
        """float32 (time, channel)."""
        rows = []
        for channel in range(self.shape[1]):
            self._file.seek(self._place(output, channel, start))
            rows.append(np.frombuffer(self._file.read(4 * count), np.float32))
        return np.stack(rows, 1)

    def close(self) -> None:
        """Forget all."""
        with contextlib.suppress(OSError):  # a full disk, of which write has told
            self._file.close()

    def _place(self, output: int, channel: int, start: int) -> int:
        _, channels, frames = self.shape
        return 4 * ((output * channels + channel) * frames + start)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *exception) -> None:
        self.close()


def write(spool: Spool, paths: list, form: Format, tags: dict, gain: float = 1.0) -> None:
    """Write every output of a spool to its file; all of them or none.

    Args:
        spool: full.
        paths: one per output; ``-`` for standard output.
        form: of each file.
        tags: are kept where the format can.
        gain: factor on all samples.

    Raises:
        UserError: the format does not take it.
        OSError: no place to write to, or no room.
    """
    with contextlib.ExitStack() as finished:
        for output, path in enumerate(paths):
            if str(path) == "-":
                with pipes.temporary_room():
                    target = finished.enter_context(tempfile.TemporaryFile())
                    _encode(audio.Sink(target.fileno()), spool, output, form, tags, gain)
                target.seek(0)
                shutil.copyfileobj(target, sys.stdout.buffer)
                sys.stdout.buffer.flush()
            else:
                temporary = finished.enter_context(replace(path))
                _encode(audio.Sink(temporary), spool, output, form, tags, gain)


def _encode(sink: audio.Sink, spool: Spool, output: int, form: Format, tags: dict, gain) -> None:
    channels, frames = spool.shape[1], spool.frames
    count = max(1, BLOCK // channels)
    try:
        with sink, form.open(sink, channels) as file:
            _tag(file, tags)
            for start in range(0, frames, count):
                samples = spool.read(output, start, min(count, frames - start)) * np.float32(gain)
                if form.subtype in audio.BITS:
                    samples = audio.quantise(samples, audio.BITS[form.subtype])
                file.write(samples)
    except (soundfile.LibsndfileError, AssertionError) as error:
        if sink.fault is None:
            reason = getattr(error, "error_string", None) or "not all of it was taken"
            raise UserError(f"cannot be written as {form.format} ({reason})") from None
    if sink.fault is not None:
        raise sink.fault


def _tag(file: soundfile.SoundFile, tags: dict) -> None:
    for name, value in tags.items():
        if file.format == "MP3" and not value.isascii():
            continue  # libsndfile would write it in one encoding and read it in another
        with contextlib.suppress(soundfile.LibsndfileError):  # a format without such tags
            setattr(file, name, value)

"""How many bytes of samples a sound file promises, and how many are there.

libsndfile reads what is left of a file that was cut off without a word, and nothing of one whose
writer was killed before it wrote the size. The formats: IBM and Microsoft, "Multimedia Programming
Interface and Data Specifications 1.0" (1991), RIFF; RF64: EBU Tech 3306; Apple, "Audio Interchange
File Format" 1.3 and "Core Audio Format" 1.0; Sony Wave64; Sun's .snd; NIST SPHERE; RFC 3533 (Ogg).
"""

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

PLACEHOLDERS = ((0x7FFF0000, 0x8000FFFF), (0xFFFF0000, 0xFFFFFFFF))
"""Sizes near 2 and 4 GiB, from writers that could not go back: ffmpeg's, SoX's, arecord's."""
HUGE = 2**62  # bytes; from here a size of 64 bits is one of these, or negative
OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the largest page


class Samples(NamedTuple):
    """Where the samples of a file are.

    Attributes:
        start: byte of the first.
        promised: bytes that the header says; None: it does not know.
        held: bytes from ``start`` to the end of the file.
        patch: position -> bytes of a header with the right size, where it says 0 bytes and there
            are some.
    """

    start: int
    promised: int | None
    held: int
    patch: dict[int, bytes]

    @property
    def missing(self) -> int:
        """Bytes that are promised and not there."""
        return 0 if self.promised is None else max(0, self.promised - self.held)


class _Chunks(NamedTuple):
    """A file of chunks: how long its head and their names are, how they say their size."""

    head: int
    name: int
    size: str  # as ``struct`` has it
    counted: int  # bytes of a chunk's own head that its size counts
    even: int  # chunks start on multiples of so many bytes
    samples: bytes
    before: int  # bytes in that chunk before the samples


WAVE = {b"RIFF": "<I", b"RF64": "<I", b"RIFX": ">I"}
CHUNKS = {(magic, b"WAVE"): _Chunks(12, 4, size, 0, 2, b"data", 0) for magic, size in WAVE.items()}
CHUNKS |= {(b"FORM", b"8SVX"): _Chunks(12, 4, ">I", 0, 2, b"BODY", 0)}
CHUNKS |= {(b"FORM", kind): _Chunks(12, 4, ">I", 0, 2, b"SSND", 8) for kind in (b"AIFF", b"AIFC")}
CAF = _Chunks(8, 4, ">q", 0, 1, b"data", 4)
W64 = _Chunks(40, 16, "<q", 24, 8, b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 0)


def find(file: BinaryIO) -> Samples | None:
    """Where the samples are; None in a format that does not say it in bytes.

    Raises:
        EOFError: the file ends before its samples.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(48)
    if head.startswith(b".snd") and len(head) >= 12:
        start, promised = struct.unpack(">II", head[4:12])
        return _settled(start, promised, size - start, {})
    if head.startswith(b"NIST_1A"):
        return _sphere(file, size)
    form = CHUNKS.get((head[:4], head[8:12]))
    if head.startswith(b"caff"):
        form = CAF
    elif head.startswith(b"riff\x2e\x91\xcf\x11") and head[24:28] == b"wave":
        form = W64
    if form is None:
        return None
    long_at = None  # of the size in 64 bits
    for name, at, length in _chunks(file, form, form.head, size):
        if name == b"ds64" and length >= 16:
            long_at = at + 8
        if name == form.samples:
            break
    else:
        raise EOFError(f"no samples in {size} bytes")
    start = at + form.before
    patch = {at - 4: b"\xff" * 4}
    if length in (-1, 0xFFFFFFFF) and long_at is not None:
        file.seek(long_at)
        length = int.from_bytes(file.read(8), "little")
        patch = {long_at: (size - start).to_bytes(8, "little")}
    unclosed = head[8:12] == b"WAVE" and length == 0 < size - start
    if not unclosed or _is_chain(file, form, start, size):
        patch = {}
    return _settled(start, length - form.before, size - start, patch)


def is_cut_ogg(file: BinaryIO) -> bool:
    """Whether an Ogg file lacks the page that ends its stream; False for other files."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return False
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - 2 * OGG_PAGE))
    rest = file.read()
    at = rest.rfind(b"OggS")
    page = rest[at:]
    if at < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return True
    whole = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return len(page) < whole or not page[5] & 4


def is_chained_ogg(file: BinaryIO) -> bool:
    """Whether a second stream follows the first in an Ogg file, as when two are put together or a
    radio is recorded: libsndfile reads the first. False for other files."""
    file.seek(0)
    begun = False
    while (head := file.read(27)).startswith(b"OggS") and len(head) == 27:
        first = head[5] & 2  # of a stream; those of streams side by side all precede other pages
        if first and begun:
            return True
        begun = not first
        file.seek(sum(file.read(head[26])), os.SEEK_CUR)
    return False


def _chunks(file: BinaryIO, form: _Chunks, at: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, position after the head, and length of each chunk, up to the end of the file."""
    head = form.name + struct.calcsize(form.size)
    while at + head <= size:
        file.seek(at)
        text = file.read(head)
        length = struct.unpack(form.size, text[form.name :])[0] - form.counted
        yield text[: form.name], at + head, length
        if length < 0:
            return
        at += head + -(-length // form.even) * form.even


def _is_chain(file: BinaryIO, form: _Chunks, at: int, size: int) -> bool:
    """Whether nothing but whole chunks follows, as behind samples of which there are none."""
    for name, after, length in _chunks(file, form, at, size):
        if not re.fullmatch(rb"[ -~]{4}", name):
            return False
        at = after + length
    return size - 1 <= at + at % 2 <= size + 1


def _settled(start: int, promised: int, held: int, patch: dict[int, bytes]) -> Samples:
    """What a size means that is larger than the file, or that nobody wrote."""
    excess = promised - held
    unknown = bool(patch) or promised < 0 or promised >= HUGE
    if excess > 0:
        unknown |= any(low <= promised <= high for low, high in PLACEHOLDERS)
        unknown |= start - 8 <= excess <= start  # the writer counted the header too
    return Samples(start, None if unknown else promised, held, patch)


def _sphere(file: BinaryIO, size: int) -> Samples | None:
    """NIST SPHERE: a header in text, with the number of samples and not that of bytes."""
    file.seek(0)
    text = file.read(1024).decode("latin-1").splitlines()
    fields = {words[0]: words[2] for words in map(str.split, text) if len(words) == 3}
    try:
        start = int(text[1])
        names = ("sample_count", "channel_count", "sample_n_bytes")
        count, channels, width = (int(fields[name]) for name in names)
    except (IndexError, KeyError, ValueError):
        return None
    return _settled(start, count * channels * width, size - start, {})

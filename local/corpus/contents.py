"""What sound files hold, found by reading every sample once: faults, levels, and copies."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local.base import parallel, progress
from local.base.names import shown
from local.corpus import crops
from local.corpus.sources import File, Kind
from local.corpus.sums import STEP, Rejection
from local.corpus.wav import Fault, Sound, Wav

BLOCK = 2**18  # samples in memory at a time, at least
LOUDEST = 1e15  # of full scale; the squares of more do not fit into 32-bit floats
BYTES_PER_WORKER = 2**26  # starting a process takes as long as reading so many


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        rate, frames: Hz, samples.
        digest: of the samples; files of the same samples have the same.
        levels: float32, of ``crops.frame_levels``.
        unclosed: whether its header says that it holds no samples.
    """

    rate: int
    frames: int
    digest: str
    levels: np.ndarray
    unclosed: bool


class Recording(NamedTuple):
    """A faultless file, whose it is, and what it holds."""

    kind: Kind
    file: File
    content: Content


def listen(path: Path | str, channel: int | None = None) -> Content:
    """Read a whole file.

    Args:
        channel: which channel of several; None where there must be one.

    Raises:
        Fault: it cannot be read whole, or what is in it is no sound.
    """
    kind = Wav if str(path).lower().endswith(".wav") else Sound
    with kind(Path(path), channel) as sound:
        frame = max(1, round(crops.FRAME * sound.rate))
        x = np.empty(min(sound.frames, -(-BLOCK // frame) * frame))
        digest, levels = hashlib.blake2b(f"{sound.rate} ".encode(), digest_size=16), []
        total = 0.0
        for start in range(0, sound.frames, len(x)):
            block = x[: sound.frames - start]
            sound.read(block)
            wrong = ~(np.abs(block) < LOUDEST)
            if wrong.any():
                first = int(np.argmax(wrong))
                found = f"{block[first]} at sample {start + first}"
                raise Fault("NaN or infinite samples", "finite samples", found)
            digest.update(block.astype(np.float32).tobytes())
            levels.append(crops.frame_levels(block, sound.rate))
            total += block.sum()
        unclosed = getattr(sound, "unclosed", False)
        found = np.concatenate(levels)
        if found.max() - (total / sound.frames) ** 2 <= STEP**2:  # nothing, or a constant
            raise Fault("silent voice or noise", "a sound", "less than 1 step of 16 bits")
        return Content(
            sound.rate, sound.frames, digest.hexdigest(), found.astype(np.float32), unclosed
        )


def gather(
    folders: dict[Kind, tuple[Path, list[File]]], channel: int | None
) -> tuple[list[Recording], list[Rejection]]:
    """Listen to all files of some folders, with as many processes as are useful.

    Of files with the same samples only the first is kept: the others are copies, which would be
    two recordings to whoever goes by their names.

    Returns:
        what can be used, in order, and the faults of the rest; the ``split`` of a fault is the
        option of its folder.

    Raises:
        UserError: a worker process died.
    """
    from joblib import cpu_count

    tasks = [(kind, root, file) for kind, (root, files) in folders.items() for file in files]
    size = sum(_size(root / file.path) for _, root, file in tasks)
    workers = max(1, min(cpu_count(), size // BYTES_PER_WORKER, len(tasks)))
    words = [(root / file.path, file.owner, kind, channel) for kind, root, file in tasks]
    results = parallel.in_order(_try, words, workers)
    kept, rejections, first = [], [], {}
    for (kind, _, file), found in zip(
        tasks, progress.bar(results, "listening", len(tasks), "files"), strict=True
    ):
        if not isinstance(found, Fault):
            before = first.setdefault(found.digest, f"{kind.option}: {file.path}")
            if before == f"{kind.option}: {file.path}":
                kept.append(Recording(kind, file, found))
                continue
            found = Fault("copy of another file", "samples of its own", f"those of {before}")
        folder, _, name = file.path.rpartition("/")
        fault = found.reason, found.expected, found.found
        rejections.append(Rejection(kind.option, *map(shown, (folder, name, *fault))))
    return kept, rejections


def _try(path: Path, owner: str, kind: Kind, channel: int | None) -> Content | Fault:
    """Faults are returned: one of them must not end the others."""
    if not owner:
        expected = f"a {kind.owner}: a folder of its own, or a line in {kind.table}"
        return Fault(f"no {kind.owner}", expected, "none")
    try:
        return listen(path, channel)
    except Fault as fault:
        return fault


def _size(path: Path) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0

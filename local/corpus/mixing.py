"""Mixtures of voices and noises for valid and test: planned from a seed, written once as triplets.

A plan depends on the seed and on the voices, noises and rooms of its own split, on nothing else. It
stands in ``groups.csv`` of the split's folder, with what each triplet was made of; the recording
of noise is the group. A triplet is at most ``SECONDS`` of one voice, in a room where there are
any, and as much of one noise: repeated where it is shorter. Its rate is the lowest of its
files', so that no source ends below the band of the others. The SNR is over the whole of it.
"""

import csv
import itertools
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local import SOURCES
from local.base import audio, progress
from local.base.disk import replace
from local.base.errors import UserError
from local.base.names import TEXT
from local.corpus import crops, reverberation
from local.corpus.contents import Recording
from local.corpus.sources import NOISES, ROOMS, VOICES

SECONDS, SHORTEST = 4.0, 0.5  # of a triplet, at most and at least
LARGEST = {"valid": 200, "test": 500}  # triplets; beyond it evaluation takes long and gains little
REDRAWS = 5  # how often a place of a noise that is a pause is drawn again
QUIET_DB = -30.0  # dB below a noise's active level; below, it is a pause
PEAKS = 0.1, 0.99  # of full scale; a mixture outside is brought to the nearer one
BITS = 16
PLAN = "groups.csv"


class Planned(NamedTuple):
    """A triplet to be made; the columns of a plan.

    ``voice``, ``noise`` and ``room`` are paths in their folders, the places and lengths samples at
    the rate of each file. ``room`` is empty where there are none.
    """

    folder: str
    group: str
    snr_db: float
    speaker: str
    voice: str
    voice_start: int
    voice_frames: int
    noise: str
    noise_start: int
    noise_frames: int
    room: str


def plan(
    split: str, recordings: Sequence[Recording], snrs: Sequence[float], seed: int
) -> list[Planned]:
    """The triplets of a split.

    Speakers and recordings of noise come in turn, each as often as the others. All segments of the
    voices are used once before one is used twice, each time at another SNR; up to ``LARGEST``.

    Raises:
        UserError: no segment of a voice has enough speech.
    """
    of = {kind: [r for r in recordings if r.kind == kind and r.file.split == split]
          for kind in (VOICES, NOISES, ROOMS)}  # fmt: skip
    rng = np.random.default_rng([seed, *split.encode()])
    segments = list(_in_turn(_segments(of[VOICES]), rng))
    if not segments:
        raise UserError(
            f"--voices: expected in {split} at least {SHORTEST:g} s with {crops.SPOKEN:.0%} speech,"
            f" found none in {len(of[VOICES])} files"
        )
    noises, responses = _endless(of[NOISES], rng), _endless(of[ROOMS], rng)
    turns = ((turn, i) for turn in range(len(snrs)) for i in range(len(segments)))
    planned = []
    for number, (turn, i) in enumerate(itertools.islice(turns, LARGEST[split]), 1):
        (voice, start, frames), noise = segments[i], next(noises)
        room = next(responses).file.path if of[ROOMS] else ""
        needed = math.ceil(frames * noise.content.rate / voice.content.rate)
        planned.append(
            Planned(
                *(f"{number:04d}", noise.file.owner, float(snrs[(turn + i) % len(snrs)])),
                *(voice.file.owner, voice.file.path, start, frames),
                *(noise.file.path, *_place(noise, needed, rng), room),
            )
        )
    return planned


def _segments(voices: list[Recording]) -> dict[str, list[tuple[Recording, int, int]]]:
    """Speaker -> segments with enough speech: the voice, start and length in samples."""
    found = defaultdict(list)
    for voice in voices:
        rate, total, levels = voice.content.rate, voice.content.frames, voice.content.levels
        active, frame = crops.active_level(levels), max(1, round(crops.FRAME * rate))
        size = min(total, round(SECONDS * rate))
        for start in range(0, total - size + 1, size) if total >= SHORTEST * rate else ():
            inside = levels[start // frame : -(-(start + size) // frame)]
            if crops.active_share(inside, active) >= crops.SPOKEN:
                found[voice.file.owner].append((voice, start, size))
    return found


def _in_turn(of: dict[str, list], rng: np.random.Generator) -> Iterator:
    """The items of all owners, one of each owner in turn, in a drawn order."""
    owners = [of[owner] for owner in sorted(of)]
    lists = [[items[k] for k in rng.permutation(len(items))] for items in owners]
    lists = [lists[k] for k in rng.permutation(len(lists))]
    for row in itertools.zip_longest(*lists):
        yield from (item for item in row if item is not None)


def _endless(recordings: list[Recording], rng: np.random.Generator) -> Iterator[Recording]:
    """Recordings without end: one of each owner in turn, in a new order in each round."""
    of = defaultdict(list)
    for recording in recordings:
        of[recording.file.owner].append(recording)
    owners = [of[owner] for owner in sorted(of)]
    while owners:
        for k in rng.permutation(len(owners)):
            yield owners[k][rng.integers(len(owners[k]))]


def _place(noise: Recording, needed: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start and length, in a noise, of so many samples that are not one pause."""
    levels, size = noise.content.levels, min(needed, noise.content.frames)
    rest = noise.content.frames - size
    if not rest:
        return 0, size
    frame = max(1, round(crops.FRAME * noise.content.rate))
    least = crops.active_level(levels) * 10 ** (QUIET_DB / 10)
    for _ in range(1 + REDRAWS):
        start = int(rng.integers(rest, endpoint=True))
        if levels[-(-start // frame) : (start + size) // frame].mean() > least:  # whole frames
            return start, size
    return min(int(levels.argmax()) * frame, rest), size


def write(
    tree: Path, split: str, planned: list[Planned], folders: dict[str, Path], channel: int | None
) -> None:
    """Write the triplets of a plan below ``tree/split``; those that are there are kept.

    Args:
        folders: of ``voices``, ``noises`` and ``rooms``.
        channel: which channel of files with several.

    Raises:
        UserError: the folder holds triplets of another plan; a file has changed.
    """
    _write_plan(tree / split / PLAN, planned)
    missing = [item for item in planned if not (tree / split / item.folder).is_dir()]
    for item in progress.bar(missing, f"mixing {split}", len(missing), "triplets"):
        sources, rate = _mix(item, folders, channel)
        with replace(tree / split / item.folder) as temporary:
            temporary.mkdir()
            for name, x in (*zip(SOURCES, sources, strict=True), ("mix", sources.sum(0))):
                stem = f"mix_snr_{item.snr_db:g}" if name == "mix" else name
                audio.write(temporary / f"{stem}.wav", x / 2.0 ** (BITS - 1), rate, f"PCM_{BITS}")


def _write_plan(path: Path, planned: list[Planned]) -> None:
    with replace(path) as temporary:
        with open(temporary, "w", newline="", **TEXT) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(Planned._fields)
            table.writerows(item._replace(snr_db=f"{item.snr_db:g}") for item in planned)
        if path.exists() and path.read_bytes() != temporary.read_bytes():
            raise UserError(
                f"{path}: lists triplets that were made of other voices, noises or rooms, and a"
                f" {path.parent.name} set never changes silently; give another --name, or delete"
                f" {path.parent}"
            )


def _mix(item: Planned, folders: dict[str, Path], channel: int | None) -> tuple[np.ndarray, int]:
    """Voice and noise of a triplet as whole steps of 16 bits, float64 (2, time), and its rate."""

    def read(kind: str, path: str, start: int = 0, frames: int = -1) -> tuple[np.ndarray, int]:
        return audio.read(os.path.join(folders[kind], path), start, frames, channel)

    voice, rate = read("voices", item.voice, item.voice_start, item.voice_frames)
    noise, noise_rate = read("noises", item.noise, item.noise_start, item.noise_frames)
    response, room_rate = read("rooms", item.room) if item.room else (None, rate)
    common = min(rate, noise_rate, room_rate)
    voice = audio.resample(voice, rate, common)
    if response is not None:
        voice = reverberation.reverberate(voice, audio.resample(response, room_rate, common))
    noise = crops.repeat(audio.resample(noise, noise_rate, common), len(voice), common)
    voice, noise = voice.astype(np.float64), noise.astype(np.float64)
    noise *= math.sqrt(np.mean(voice**2) / np.mean(noise**2)) / 10 ** (item.snr_db / 20)
    peak = max(np.abs(x).max() for x in (voice, noise, voice + noise))
    gain = np.clip(peak, *PEAKS) / peak * 2 ** (BITS - 1)
    return np.rint(gain * np.stack([voice, noise])), common

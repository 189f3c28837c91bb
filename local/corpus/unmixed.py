"""A data set of voices and noises that are not mixed yet: from folders to train, valid and test.

Speakers, recordings of noise and rooms are split. What is in valid and test is mixed once, into
triplets (``corpus.mixing``). What is in train is only listed: training mixes it anew all the time.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

from local.base.errors import UserError
from local.corpus import contents, manifest, mixing, sources, triplets
from local.corpus.contents import Recording
from local.corpus.mixing import Planned
from local.corpus.reverberation import Room
from local.corpus.sources import KINDS, NOISES, ROOMS, VOICES, File, Kind
from local.corpus.sums import Fit, Look, Rejection

TREE = "triplets"  # the folder of the mixtures, in that of the manifests
SEED = 0  # of splits and triplets
AS_IT_IS = Fit(1.0, 1.0, 0.0, -200.0)  # of a voice or a noise alone
NOUNS = {VOICES: ("speaker", "speakers"), NOISES: ("recording of noise", "recordings of noise"),
         ROOMS: ("room", "rooms")}  # fmt: skip
COLUMN = {VOICES: "voice", NOISES: "noise", ROOMS: "room"}  # of a plan
SOURCE = {VOICES: "voice", NOISES: "noise"}
Known = dict[Kind, list[File]]
"""The files of a corpus that says what they are, and their splits."""


class Order(NamedTuple):
    """What a data set is made of, and how; part of its root.yml.

    Attributes:
        folders: of ``voices``, ``noises`` and perhaps ``rooms``: absolute paths.
        channel: which channel of files with several.
        snrs: dB, of the triplets.
    """

    folders: dict[str, str]
    channel: int | None
    snrs: list[float]


def check(out: Path, order: Order, known: Known | None = None) -> None:
    """Whether a data set may be made in the folder ``out``; ``known`` as of ``gather``.

    Raises:
        UserError: its folders lie in one another, or ``out`` holds a data set of another order.
    """
    roots = {name: Path(folder).resolve() for name, folder in order.folders.items()}
    listed = {kind.option for kind in known or {}}  # of which file by file is known what it is
    for name, root in roots.items():
        if out.resolve().is_relative_to(root):
            raise UserError(f"{out}: lies inside --{name} {root}, which is never written to")
        for other, folder in roots.items():
            if name != other and not {name, other} <= listed and folder.is_relative_to(root):
                raise UserError(
                    f"--{other} {folder} lies in --{name} {root}: a recording is one of them"
                )
    place = out / manifest.ROOT_FILE
    if not place.exists():
        return
    made = manifest.read_root(place)
    for key, value in order._asdict().items():
        if made.get(key) != value:
            moved = ", edit folders there if they were moved" if key == "folders" else ""
            raise UserError(
                f"{place}: {out.name} was made with {key} {made.get(key)}, not {value}; give"
                f" another --name{moved}, or delete {out}"
            )


def gather(order: Order, known: Known | None = None) -> tuple[list[Recording], list[Rejection]]:
    """Listen to everything in the folders.

    Args:
        known: the files of kinds that a corpus lists; those of others are sought.

    Returns:
        the recordings that can be used, and the faults of the others.

    Raises:
        UserError: see ``sources.find``.
    """
    known = known or {}
    roots = {
        kind: Path(order.folders[kind.option]) for kind in KINDS if kind.option in order.folders
    }
    found = {
        kind: (root, known[kind] if kind in known else sources.find(root, kind))
        for kind, root in roots.items()
    }
    return contents.gather(found, order.channel)


def share(recordings: list[Recording], order: Order) -> list[Recording]:
    """The recordings with a split each.

    Raises:
        UserError: nothing is left of a folder, or there are too few owners to split.
    """
    shared = []
    for kind in KINDS:
        if kind.option not in order.folders:
            continue
        own = [recording for recording in recordings if recording.kind == kind]
        root = Path(order.folders[kind.option])
        if not own:
            raise UserError(f"nothing is left of --{kind.option} {root}: see rejected.csv")
        files = sources.split([recording.file for recording in own], root, kind, SEED)
        shared += [r._replace(file=file) for r, file in zip(own, files, strict=True)]
    return shared


def mix(tree: Path, recordings: list[Recording], order: Order) -> dict[str, list[Planned]]:
    """Plan the triplets of valid and test, and write those that are not there yet.

    Raises:
        UserError: see ``mixing.plan`` and ``mixing.write``.
    """
    plans = {split: mixing.plan(split, recordings, order.snrs, SEED) for split in ("valid", "test")}
    folders = {name: Path(folder) for name, folder in order.folders.items()}
    for split, planned in plans.items():
        mixing.write(tree, split, planned, folders, order.channel)
    return plans


def scan(tree: Path) -> dict[str, tuple[list[str], list[Rejection]]]:
    """What there is to check of valid and test, as ``layouts.Layout.scan`` says it."""
    return {split: triplets.scan(tree, split) for split in ("valid", "test")}


def train(recordings: list[Recording], rejections: list[Rejection]) -> Look:
    """The rows of train.csv, as what was seen of a split."""
    own = [r for r in recordings if r.file.split == "train" and r.kind in SOURCE]
    rows = [
        manifest.alone(
            SOURCE[kind], f"{kind.option}:{file.path}", content.rate, content.frames, file.owner
        )
        for kind, file, content in own
    ]
    unclosed = [f"{r.kind.option}: {r.file.path}" for r in recordings if r.content.unclosed]
    return Look(
        len(rows) + len(rejections), [(row, AS_IT_IS) for row in rows], rejections, unclosed
    )


def rooms(recordings: list[Recording]) -> list[Room]:
    """The rooms that training draws from."""
    return [
        Room(f"{ROOMS.option}:{file.path}", content.rate, content.frames, file.owner)
        for kind, file, content in recordings
        if kind == ROOMS and file.split == "train"
    ]


def proof(recordings: list[Recording], plans: dict[str, list[Planned]]) -> str:
    """One line: nothing of valid or test is in train, nor of one in the other.

    It compares what train lists with what the triplets are made of: names of speakers, recordings
    and rooms, files, and samples.

    Raises:
        RuntimeError: that is not so, which is a fault of winnow.
    """
    of = {(r.kind, r.file.path): r for r in recordings}
    used = {"train": [r for r in recordings if r.file.split == "train"]}
    for split, planned in plans.items():
        cells = {
            (kind, getattr(item, column)) for item in planned for kind, column in COLUMN.items()
        }
        used[split] = [of[kind, path] for kind, path in cells if path]
    for one, other in itertools.combinations(used, 2):
        common = _marks(used[one]) & _marks(used[other])
        if common:
            raise RuntimeError(f"{one} and {other} share {sorted(common)[0]}")

    def counted(split: str) -> str:
        words = []
        for kind, (noun, nouns) in NOUNS.items():
            count = len({r.file.owner for r in used[split] if r.kind == kind})
            words += [f"{count} {noun if count == 1 else nouns}"] if count else []
        return ", ".join(words)

    return (
        f"nothing of valid ({counted('valid')}) or test ({counted('test')}) is in train"
        f" ({counted('train')}): names, files and samples compared"
    )


def _marks(recordings: list[Recording]) -> set[tuple[str, str, str]]:
    """All that must not be the same in two splits."""
    marks = set()
    for kind, file, content in recordings:
        marks |= {("samples", "", content.digest), ("file", kind.option, file.path),
                  (kind.owner, kind.option, file.owner)}  # fmt: skip
    return marks

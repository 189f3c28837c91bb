"""Corpora as they come: what a module of one says of it, and folders of files that go together.

Each corpus has a module here with a ``CORPUS``, which finds its parts below a folder and lists
their mixtures; ``sums.look`` then checks each as it checks those of triplets. Nothing is copied
and nothing is written: the manifest names the files where they lie.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from local.base.names import shown
from local.corpus.sources import File, Kind
from local.corpus.sums import Mixture, Rejection

NUMBER = r"-?[0-9]{1,4}(?:\.[0-9]*)?"
"""An SNR or a level in a name, as Python prints it."""
LONGEST_ID = 100  # characters; names of files on a page are made of it


class Listing(NamedTuple):
    """What a split of a corpus holds: its mixtures, and the faults of what else is there."""

    mixtures: list[Mixture]
    rejections: list[Rejection]


class Corpus(NamedTuple):
    """How a corpus lies on disk.

    Attributes:
        name: for ``--corpus``.
        title: as its authors call it.
        expected: what lies there, for an error line.
        marks: names of folders by which it is known, for a guess at what was meant.
        parts: folder -> the names of its parts that lie there, such as ``16k/min/single``; ``""``
            where there is but one. Empty: the folder does not hold this corpus.
        read: folder and part -> the listing of each split; without test, it is held out of train.
        note: part -> a line that stage 0 prints, or nothing.
        alone: folder and part -> the voices and noises of a part that are not mixed yet, with
            their splits, instead of ``read``; nothing of other parts.
    """

    name: str
    title: str
    expected: str
    marks: tuple[str, ...]
    parts: Callable[[Path], list[str]]
    read: Callable[[Path, str], dict[str, Listing]]
    note: Callable[[str], str] = lambda part: ""
    alone: Callable[[Path, str], dict[Kind, list[File]]] = lambda root, part: {}


class Together(NamedTuple):
    """Folders, relative to the root, whose files go together; a source is the sum of its folders.

    Without a folder of noise, it is the mixture minus the voice.
    """

    mix: str
    voice: tuple[str, ...]
    noise: tuple[str, ...] = ()


class Named(NamedTuple):
    """What the name of a mixture's file says: its partners' names, and the rest as in Mixture."""

    id: str
    voice: str
    noise: str
    group: str
    snr_db: float | None = None
    whole: bool = False


def match(
    root: Path, split: str, together: Together, name: Callable[[str], Named | None]
) -> Listing:
    """The mixtures in folders that go together.

    A mixture without a partner is rejected, and so is a name that ``name`` cannot read (None) and
    one that gives a second example of one id. Partners that no mixture has are left alone.

    Raises:
        OSError: a folder cannot be listed.
    """
    mixtures, rejections, ids = [], [], set()

    def reject(folder: str, file: str, *fault: str) -> None:
        rejections.append(Rejection(split, *map(shown, (folder, file, *fault))))

    there = {folder: set(wavs(root / folder)) for folder in (*together.voice, *together.noise)}
    for file in wavs(root / together.mix):
        said = name(file)
        if said is None:
            reject(together.mix, file, "name that cannot be read", "a name as its corpus has", file)
            continue
        partners = [*((folder, said.voice) for folder in together.voice),
                    *((folder, said.noise) for folder in together.noise)]  # fmt: skip
        missing = next((pair for pair in partners if pair[1] not in there[pair[0]]), None)
        if missing:
            expected = f"a partner of {together.mix}/{file}"
            reject(*missing, "missing file", expected, "no such file")
        elif said.id in ids:
            reject(together.mix, file, "duplicate id", "each id once", said.id)
        else:
            ids.add(said.id)
            paths = [f"{folder}/{partner}" for folder, partner in partners]
            count = len(together.voice)
            mixtures.append(
                Mixture(said.id, f"{together.mix}/{file}", tuple(paths[:count]),
                        tuple(paths[count:]), said.group, said.snr_db, said.whole)
            )  # fmt: skip
    return Listing(mixtures, rejections)


def wavs(folder: Path) -> list[str]:
    """The wav files in a folder by name; hidden files are ignored."""
    names = (name for name in os.listdir(folder) if not name.startswith("."))
    return sorted(name for name in names if name.lower().endswith(".wav"))


def folders(root: Path) -> list[str]:
    """The folders in a folder by name, without hidden ones; none where it cannot be listed."""
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []


def have(root: Path, *names: str) -> bool:
    """Whether all of these folders are there."""
    return all((root / name).is_dir() for name in names)


def plain(text: str) -> str:
    """A name as an id: letters, digits, dot, dash and underscore, and not too long."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:LONGEST_ID]


def stem(file: str) -> str:
    """A file's name without ``.wav``."""
    return file[: -len(".wav")]


def joined(*parts: str) -> str:
    """Parts of a path or of a part's name, the empty ones left out."""
    return "/".join(filter(None, parts))

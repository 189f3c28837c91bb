"""WHAM! and WHAMR!: utterances of WSJ0 with noise, one or two speakers, dry or in a room.

Wichern et al., "WHAM!: Extending speech separation to noisy environments", 2019, and Maciejewski et
al., "WHAMR!: Noisy and reverberant single-channel speech separation", 2020; as each one's
``create_wham_from_scratch.py`` writes it (http://wham.whisper.ai)::

    wav8k|wav16k / min|max / tr|cv|tt /
        mix_single|mix_both|s1|s2|noise / 011a0101_1.43_22ha010a_-1.43.wav

In WHAMR! all but ``noise`` end with ``_anechoic`` or ``_reverb``. Files of one name go together.
``single`` is s1 and noise; ``both`` has the sum of s1 and s2 as its voice. SNRs are measured: the
numbers in a name are the levels of the two speakers.

The name begins with the utterance of s1, whose first three characters are its speaker in WSJ0.
Groups are these speakers.
"""

from functools import partial
from pathlib import Path

from local.corpus.folders import (
    Corpus,
    Listing,
    Named,
    Together,
    have,
    joined,
    match,
    plain,
    stem,
)
from local.corpus.librimix import PLACES

SPLITS = {"tr": "train", "cv": "valid", "tt": "test"}
WHAM, WHAMR = ("",), ("_anechoic", "_reverb")


def parts(endings: tuple[str, ...], root: Path) -> list[str]:
    """``wav8k/min/single``, ..., or from the folder of one mode ``single_reverb``, ..."""
    return [
        joined(place, kind + ending)
        for place in PLACES
        for kind in ("single", "both")
        for ending in endings
        if {"tr", "tt"} <= set(split_folders(root / place, kind + ending))
    ]


def split_folders(place: Path, kind: str) -> list[str]:
    """The folders of splits that hold mixtures of a kind."""
    return [name for name in SPLITS if have(place / name, f"mix_{kind}", *speakers(kind), "noise")]


def speakers(kind: str) -> list[str]:
    """The folders of the speakers of a kind of mixtures."""
    number, _, room = kind.partition("_")
    ending = room and f"_{room}"
    return [f"s{i}{ending}" for i in ((1,) if number == "single" else (1, 2))]


def read(root: Path, part: str) -> dict[str, Listing]:
    """Train, valid and test."""
    place, _, kind = part.rpartition("/")
    listings = {}
    for name in split_folders(root / place, kind):
        inside = joined(place, name)
        together = Together(
            f"{inside}/mix_{kind}",
            tuple(f"{inside}/{speaker}" for speaker in speakers(kind)),
            (f"{inside}/noise",),
        )
        listings[SPLITS[name]] = match(root, SPLITS[name], together, said)
    return listings


def said(file: str) -> Named:
    """The same name in every folder."""
    return Named(plain(stem(file)), file, file, file[:3])


def note(part: str) -> str:
    """Whose voice it is."""
    return "voice: the sum of both speakers" if "both" in part else ""


EXPECTED = "wav8k/min/ (or another rate and mode) with tr/, cv/, tt/, each with "

CORPUS = Corpus(
    "wham", "WHAM!", EXPECTED + "mix_single/ or mix_both/, s1/, noise/",
    ("tr", "cv", "tt", "wham", "WHAM"),
    partial(parts, WHAM), read, note,
)  # fmt: skip

CORPUS_R = Corpus(
    "whamr", "WHAMR!",
    EXPECTED + "mix_single_reverb/ (or both, or anechoic), s1_reverb/, noise/",
    ("whamr", "WHAMR"),
    partial(parts, WHAMR), read, note,
)  # fmt: skip

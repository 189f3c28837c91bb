"""LibriMix: utterances of LibriSpeech with noise of WHAM!, one speaker or several at a time.

Cosentino et al., "LibriMix: An open-source dataset for generalizable speech separation", 2020; as
``scripts/create_librimix_from_metadata.py`` of github.com/JorisCos/LibriMix writes it::

    wav8k|wav16k / min|max / train-100|train-360|dev|test /
        mix_single|mix_both|s1|s2|[s3]|noise / 4077-13754-0001_5142-33396-0065.wav
    wav8k|wav16k / min|max / metadata / mixture_test_mix_single.csv

Files of one name go together. ``single`` (enh_single) is s1 and noise; ``both`` (enh_both) has the
sum of all speakers as its voice. The metadata say which mixtures there should be; the paths in
them are those of the machine that made them and are not used. SNRs are measured.

The name begins with the utterance of s1: speaker-chapter-number. Groups are the speakers of s1.
"""

import csv
import re
from pathlib import Path

from local.base.errors import UserError
from local.base.file_kind import is_there
from local.base.names import TEXT
from local.corpus.folders import (
    Corpus,
    Listing,
    Named,
    Together,
    folders,
    have,
    joined,
    match,
    plain,
    stem,
)
from local.corpus.sums import Rejection

SPLITS = {"train-100": "train", "train-360": "train", "dev": "valid", "test": "test"}
PLACES = ("", *(f"{rate}/{mode}" for rate in ("wav8k", "wav16k") for mode in ("min", "max")),
          "min", "max")  # fmt: skip
SPEAKER = re.compile(r"s[0-9]+")


def parts(root: Path) -> list[str]:
    """``wav16k/min/single``, ..., or from the folder of one mode ``single`` and ``both``."""
    return [
        joined(place, kind)
        for place in PLACES
        for kind in ("single", "both")
        if any(name.startswith("train-") for name in split_folders(root / place, kind))
        and have(root / place, "test")
    ]


def split_folders(place: Path, kind: str) -> list[str]:
    """The folders of splits that hold mixtures of a kind."""
    return [name for name in SPLITS if have(place / name, f"mix_{kind}", "s1", "noise")]


def read(root: Path, part: str) -> dict[str, Listing]:
    """Train (all that is there), valid and test.

    Raises:
        UserError: metadata without a column of ids.
    """
    place, _, kind = part.rpartition("/")
    listings = {}
    for name in split_folders(root / place, kind):
        split, inside = SPLITS[name], joined(place, name)
        speakers = ["s1"] if kind == "single" else filter(SPEAKER.fullmatch, folders(root / inside))
        together = Together(
            f"{inside}/mix_{kind}",
            tuple(f"{inside}/{speaker}" for speaker in speakers),
            (f"{inside}/noise",),
        )
        found = match(root, split, together, said)
        table = root / place / "metadata" / f"mixture_{name}_mix_{kind}.csv"
        absent = [
            Rejection(
                split,
                together.mix,
                f"{id}.wav",
                "missing file",
                f"as in {table.name}",
                "no such file",
            )
            for id in listed(table) - {Path(mixture.mix).stem for mixture in found.mixtures}
            if not (root / together.mix / f"{id}.wav").exists()
        ]
        before = listings.get(split, Listing([], []))
        listings[split] = Listing(
            before.mixtures + found.mixtures, before.rejections + found.rejections + sorted(absent)
        )
    return listings


def said(file: str) -> Named:
    """The same name in every folder."""
    return Named(plain(stem(file)), file, file, file.partition("-")[0])


def listed(table: Path) -> set[str]:
    """The ids of the mixtures that a CSV of the metadata lists; none without it.

    Raises:
        UserError: it is no file, or has no column mixture_ID.
    """
    if not is_there(table):
        return set()
    with open(table, newline="", **TEXT) as file:
        rows = csv.DictReader(file)
        if "mixture_ID" not in (rows.fieldnames or ()):
            found = ", ".join(rows.fieldnames or ()) or "nothing"
            raise UserError(f"{table}: expected a column mixture_ID, found {found:.80}")
        return {row["mixture_ID"] for row in rows}


CORPUS = Corpus(
    "librimix",
    "LibriMix",
    "wav16k/min/ (or another rate and mode) with train-100/, dev/, test/, each with mix_single/ or"
    " mix_both/, s1/, noise/",
    ("Libri2Mix", "Libri3Mix", "wav8k", "wav16k", "min", "max", "train-100", "train-360", "dev"),
    parts,
    read,
    lambda part: "voice: the sum of all speakers" if part.endswith("both") else "",
)

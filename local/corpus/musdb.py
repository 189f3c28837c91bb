"""MUSDB18-HQ: songs in stereo at 44.1 kHz as wavs, with the stems that they are the sum of.

Rafii et al., "MUSDB18-HQ: an uncompressed version of MUSDB18", 2019,
https://doi.org/10.5281/zenodo.3338373; names as in ``musdb/configs/mus.yaml`` of
github.com/sigsep/sigsep-mus-db::

    train|test / TRACK / mixture.wav|vocals.wav|drums.wav|bass.wav|other.wav

The voice is vocals.wav; the noise, the accompaniment, is the sum of the three others. The files
have two channels, of which ``--channel`` takes one, as of triplets. SNRs are measured. valid is the
14 tracks of train that the same file names as ``validation_tracks``. Each track is a group.
"""

from pathlib import Path

from local.base.errors import UserError
from local.base.names import shown
from local.corpus.folders import Corpus, Listing, folders, have, plain, wavs
from local.corpus.sums import Mixture, Rejection

ACCOMPANIMENT = ("drums.wav", "bass.wav", "other.wav")
FILES = ("mixture.wav", "vocals.wav", *ACCOMPANIMENT)
VALID = {
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
}


def parts(root: Path) -> list[str]:
    """One, if train and test hold folders with a mixture.wav.

    Raises:
        UserError: they hold MUSDB18 as it was before, packed.
    """
    if all(tracks(root, split) for split in ("train", "test")):
        return [""]
    packed = next((root / "train").glob("*.stem.mp4"), None)
    if packed:
        raise UserError(
            f"{packed}: expected MUSDB18-HQ, whose tracks are folders of wavs; this is MUSDB18:"
            " unpack its stems, or get MUSDB18-HQ"
        )
    return []


def tracks(root: Path, split: str) -> list[str]:
    """The folders of a split, if there is a mixture.wav in one."""
    names = folders(root / split) if have(root, split) else []
    return names if any((root / split / name / FILES[0]).is_file() for name in names) else []


def read(root: Path, part: str) -> dict[str, Listing]:
    """Train, valid (where a track of it is there) and test."""
    listings: dict[str, Listing] = {"train": Listing([], []), "test": Listing([], [])}
    for folder in ("train", "test"):
        for name in tracks(root, folder):
            split = "valid" if folder == "train" and name in VALID else folder
            mixtures, rejections = listings.setdefault(split, Listing([], []))
            inside = f"{folder}/{name}"
            there = set(wavs(root / inside))
            missing = [file for file in FILES if file not in there]
            if missing:
                fault = "missing file", "a song's mixture and stems", "no such file"
                rejections.append(Rejection(split, *map(shown, (inside, missing[0], *fault))))
                continue
            track = plain(name)
            if track in {mixture.id for mixture in mixtures}:
                fault = "duplicate id", "each id once", track
                rejections.append(Rejection(split, *map(shown, (folder, name, *fault))))
                continue
            mix, voice, *noise = (f"{inside}/{file}" for file in FILES)
            mixtures.append(Mixture(track, mix, (voice,), tuple(noise), track))
    return listings


CORPUS = Corpus(
    "musdb",
    "MUSDB18-HQ",
    "train/ and test/ with folders of mixture.wav, vocals.wav, drums.wav, bass.wav, other.wav",
    ("MUSDB18", "musdb18hq", "MUSDB18-HQ"),
    parts,
    read,
    lambda part: "voice: vocals; noise: the sum of drums, bass and other",
)

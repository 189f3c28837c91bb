"""DNS challenge: mixtures of its synthesizer, and its synthetic test set.

Reddy et al., "The Interspeech 2020 deep noise suppression challenge", 2020; names as
``noisyspeech_synthesizer_singleprocess.py`` of github.com/microsoft/DNS-Challenge writes them::

    noisy/CLEAN_NOISE_snr5_tl-21_fileid_12.wav  clean/clean_fileid_12.wav  noise/noise_fileid_12.wav

The three folders lie side by side, here or in training/, training_set/ or train/, also below
datasets/. The test set, ``test_set/synthetic/no_reverb`` and ``with_reverb``, has the folders noisy
and clean only: its noise is the noisy file minus the clean one. Without it a tenth is held out. Of
with_reverb, ``datasets/test_set/README.md`` says that the clean files were given the reverberation.

The SNR in a name is of the active parts (``audiolib.py: segmental_snr_mixer``): it is the level,
and is not checked. Where CLEAN ends and NOISE begins, a name does not tell, so each is a group.
"""

import re
from pathlib import Path

from local.corpus.folders import NUMBER, Corpus, Listing, Named, Together, have, joined, match

NAME = re.compile(rf".*_snr({NUMBER})_tl{NUMBER}_fileid_([0-9]+)\.wav", re.IGNORECASE)
ABOVE = ("", "datasets")
TRAIN = ("", "training", "training_set", "train")
REVERB = ("no_reverb", "with_reverb")


def parts(root: Path) -> list[str]:
    """``no_reverb`` and ``with_reverb`` by the test set; one without it."""
    if train(root) is None:
        return []
    return [part for part in REVERB if test(root, part)] or [""]


def train(root: Path) -> str | None:
    """Where the folders of the training set lie; None: nowhere."""
    places = (joined(above, name) for above in ABOVE for name in TRAIN)
    return next((place for place in places if synthesized(root / place)), None)


def synthesized(place: Path) -> bool:
    """Whether the folders of the synthesizer lie here, by the name of a mixture."""
    if not have(place, "noisy", "clean"):
        return False
    return any(NAME.fullmatch(path.name) for path in (place / "noisy").iterdir())


def test(root: Path, part: str) -> str | None:
    """Where a test set lies; None: nowhere."""
    places = (joined(above, "test_set/synthetic", part) for above in ABOVE)
    return next((place for place in places if have(root / place, "noisy", "clean")), None)


def read(root: Path, part: str) -> dict[str, Listing]:
    """Train and, where it is there, test."""
    places = {"train": train(root)} | ({"test": test(root, part)} if part else {})
    listings = {}
    for split, place in places.items():
        noisy, clean, noise = (joined(place, name) for name in ("noisy", "clean", "noise"))
        together = Together(noisy, (clean,), (noise,) if have(root, noise) else ())
        listings[split] = match(root, split, together, said)
    return listings


def said(file: str) -> Named | None:
    """Partners have the same number."""
    found = NAME.fullmatch(file)
    if not found:
        return None
    snr_db, number = found.groups()
    of = f"fileid_{number}"
    return Named(of, f"clean_{of}.wav", f"noise_{of}.wav", of, float(snr_db))


CORPUS = Corpus(
    "dns",
    "DNS challenge",
    "noisy/ and clean/ (perhaps noise/) with names such as ..._snr5_tl-21_fileid_12.wav, here or in"
    " training/, and perhaps test_set/synthetic/",
    ("noisy", "clean", "noise", "training_set", "test_set", "no_reverb", "with_reverb"),
    parts,
    read,
    lambda part: "noise: where there is no folder of it, the noisy file minus the clean one",
)

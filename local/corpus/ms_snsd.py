"""MS-SNSD: its voices and noises as they are, or the mixtures of its synthesizer.

Reddy et al., "A scalable noisy speech dataset and online subjective test framework", 2019; folders
as in github.com/microsoft/MS-SNSD, and names as ``noisyspeech_synthesizer.py`` there writes them.

The part ``sources`` are voices and noises, which are not mixed yet. Training mixes those of train,
of which a tenth of the speakers and recordings is valid; valid and test are mixed once, as those
of ``--voices`` and ``--noises`` (``corpus.unmixed``)::

    clean_train/p234_001.wav  noise_train/AirConditioner_1.wav
    clean_test/clnsp0.wav     noise_test/AirConditioner_1.wav

A name such as p234_001 says who speaks; any other voice, and each noise, counts as one of its own.

The part ``mixtures``::

    NoisySpeech_training/noisy1_SNRdb_10.0_clnsp1.wav
    CleanSpeech_training/clnsp1.wav
    Noise_training/noisy1_SNRdb_10.0.wav

and, where it is there, its test set of before, whose noise is the noisy file minus the clean one::

    noisy_test/AirConditioner_1_3999_SNRdb0_clnsp571.wav   clean_test/clnsp571.wav

Without the latter a tenth is held out. The SNR is of the whole files. A clean file serves all SNRs,
at the level of the last one: stage 0 finds the gains. Groups are the clean files.
"""

import re
from pathlib import Path

from local.base.errors import UserError
from local.corpus.folders import (
    NUMBER,
    Corpus,
    Listing,
    Named,
    Together,
    have,
    match,
    plain,
    stem,
    wavs,
)
from local.corpus.sources import NOISES, VOICES, File, Kind

NAME = re.compile(
    rf"(?P<noise>.+?_SNRdb_?(?P<snr>{NUMBER}))_(?P<voice>clnsp[0-9]+)\.wav", re.IGNORECASE
)
TRAIN = Together("NoisySpeech_training", ("CleanSpeech_training",), ("Noise_training",))
TEST = Together("noisy_test", ("clean_test",))


SOURCES = {VOICES: ("clean_train", "clean_test"), NOISES: ("noise_train", "noise_test")}
SPEAKER = re.compile(r"(p[0-9]+)_[0-9]+\.wav", re.IGNORECASE)


def parts(root: Path) -> list[str]:
    """``mixtures``, where the synthesizer has been, and ``sources``."""
    mixtures = have(root, TRAIN.mix, *TRAIN.voice, *TRAIN.noise)
    sources = have(root, *(folder for pair in SOURCES.values() for folder in pair))
    return ["mixtures"] * mixtures + ["sources"] * sources


def alone(root: Path, part: str) -> dict[Kind, list[File]]:
    """The voices and noises of the part ``sources``.

    Raises:
        OSError: a folder cannot be listed.
        UserError: there is no wav in one.
    """
    if part != "sources":
        return {}
    found = {}
    for kind, pair in SOURCES.items():
        found[kind] = []
        for folder in pair:
            names, split = wavs(root / folder), folder.partition("_")[2]
            if not names:
                raise UserError(f"{root / folder}: expected wav files, found none")
            found[kind] += [File(f"{folder}/{name}", owner(folder, name), split) for name in names]
    return found


def owner(folder: str, name: str) -> str:
    """Whose voice or which recording a file is."""
    speaker = SPEAKER.fullmatch(name)
    return speaker[1] if speaker else f"{folder}/{name}"


def note(part: str) -> str:
    """What is done with sources, and what is not known of them."""
    if part != "sources":
        return ""
    return (
        "training mixes them; valid and test are mixed once; a file whose name gives no speaker,"
        " such as all of clean_test, counts as one speaker"
    )


def read(root: Path, part: str) -> dict[str, Listing]:
    """Train and, where it is there, test, of the part ``mixtures``."""
    splits = {"train": TRAIN} | ({"test": TEST} if have(root, TEST.mix, *TEST.voice) else {})
    return {split: match(root, split, together, said) for split, together in splits.items()}


def said(file: str) -> Named | None:
    """The partners' names, and an SNR to 0.1 dB: the synthesizer's levels may be thirds."""
    found = NAME.fullmatch(file)
    if not found:
        return None
    voice, noise = (f"{found[name]}.wav" for name in ("voice", "noise"))
    level = round(float(found["snr"]), 1)
    return Named(plain(stem(file)), voice, noise, found["voice"], level, whole=True)


CORPUS = Corpus(
    "ms_snsd",
    "MS-SNSD",
    "clean_train, noise_train, clean_test, noise_test; or NoisySpeech_training,"
    " CleanSpeech_training, Noise_training, as its synthesizer writes them",
    (*(f for pair in SOURCES.values() for f in pair), TRAIN.mix, *TRAIN.voice, *TRAIN.noise),
    parts,
    read,
    note,
    alone,
)

"""MS-SNSD: mixtures of its synthesizer, and its test set.

Reddy et al., "A scalable noisy speech dataset and online subjective test framework", 2019; names as
``noisyspeech_synthesizer.py`` of github.com/microsoft/MS-SNSD writes them::

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

from local.corpus.folders import NUMBER, Corpus, Listing, Named, Together, have, match, plain, stem

NAME = re.compile(
    rf"(?P<noise>.+?_SNRdb_?(?P<snr>{NUMBER}))_(?P<voice>clnsp[0-9]+)\.wav", re.IGNORECASE
)
TRAIN = Together("NoisySpeech_training", ("CleanSpeech_training",), ("Noise_training",))
TEST = Together("noisy_test", ("clean_test",))


def parts(root: Path) -> list[str]:
    """One, where the synthesizer has been."""
    return [""] if have(root, TRAIN.mix, *TRAIN.voice, *TRAIN.noise) else []


def read(root: Path, part: str) -> dict[str, Listing]:
    """Train and, where it is there, test."""
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
    "NoisySpeech_training, CleanSpeech_training, Noise_training, as its synthesizer writes them",
    (TRAIN.mix, *TRAIN.voice, *TRAIN.noise, TEST.mix, *TEST.voice),
    parts,
    read,
)

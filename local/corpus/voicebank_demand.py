"""VoiceBank-DEMAND: clean and noisy speech of 28 or 56 speakers, and of two others to test on.

Valentini-Botinhao, "Noisy speech database for training speech enhancement algorithms and TTS
models", 2017, https://doi.org/10.7488/ds/2117::

    clean_trainset_28spk_wav/p226_001.wav   noisy_trainset_28spk_wav/p226_001.wav   (or 56spk)
    clean_testset_wav/p232_001.wav          noisy_testset_wav/p232_001.wav
    log_trainset_28spk.txt  log_testset.txt (here, or in a folder such as logfiles/)

Copies at 16 kHz lie in folders whose names end with ``_16k``. A line of a log is ``p232_001 bus
17.5``: file, kind of noise, SNR in dB. That SNR is of the active speech level (ITU-T P.56), which
lies above that of the whole file; so it is the level, and is not checked. Without a log the level
is measured. The noise is the noisy file minus the clean one.

Groups: of train the speakers, so that valid holds others; of test, with two speakers, the kinds of
noise, each of which is one recording (without a log, the speakers).
"""

import re
from pathlib import Path

from local.base.errors import UserError
from local.base.file_kind import is_there
from local.base.names import TEXT
from local.corpus.folders import Corpus, Listing, Named, Together, folders, match, plain, stem

TRAIN = re.compile(r"noisy_trainset(?:_(28spk|56spk))?_wav(_16k)?")


def parts(root: Path) -> list[str]:
    """``28spk``, ``56spk_16k``, ...; ``all`` of a copy that does not say how many speakers."""
    there, found = set(folders(root)), []
    for name in sorted(there):
        train = TRAIN.fullmatch(name)
        if train:
            rate = train[2] or ""
            test = f"noisy_testset_wav{rate}"
            noisy = {name, test}
            if noisy | {clean(folder) for folder in noisy} <= there:
                found.append((train[1] or "all") + rate)
    return found


def clean(noisy: str) -> str:
    """The folder of the voices that belong to a folder of mixtures."""
    return noisy.replace("noisy", "clean", 1)


def read(root: Path, part: str) -> dict[str, Listing]:
    """Train and test.

    Raises:
        UserError: a line of a log that is none.
    """
    speakers, _, rate = part.partition("_")
    speakers, rate = speakers.replace("all", ""), rate and f"_{rate}"
    sets = {"train": "trainset" + (speakers and f"_{speakers}"), "test": "testset"}
    listings = {}
    for split, name in sets.items():
        noisy, log = f"noisy_{name}_wav{rate}", read_log(root, f"log_{name}.txt")

        def said(file: str, split=split, log=log) -> Named:
            kind, snr_db = log.get(stem(file).removesuffix("_16k"), (None, None))
            speaker = file.partition("_")[0]
            group = speaker if split == "train" or kind is None else kind
            return Named(plain(stem(file)), file, "", group, snr_db)

        listings[split] = match(root, split, Together(noisy, (clean(noisy),)), said)
    return listings


def read_log(root: Path, name: str) -> dict[str, tuple[str, float]]:
    """File -> kind of noise and SNR in dB, of a log in the folder or one below; {}: there is none.

    Raises:
        UserError: not a log.
    """
    places = [root, *(root / folder for folder in folders(root))]
    path = next((place / name for place in places if is_there(place / name)), None)
    if path is None:
        return {}
    log = {}
    for number, line in enumerate(path.read_text(**TEXT).splitlines(), 1):
        try:
            if line.strip():
                file, kind, snr_db = line.split()
                log[file.removesuffix(".wav")] = kind, float(snr_db)
        except ValueError:
            expected = "expected a file, a noise and an SNR, such as p232_001 bus 17.5"
            raise UserError(f"{path}, line {number}: {expected}, found {line:.60}") from None
    return log


CORPUS = Corpus(
    "voicebank_demand",
    "VoiceBank-DEMAND",
    "clean_trainset_28spk_wav, noisy_trainset_28spk_wav, clean_testset_wav, noisy_testset_wav",
    (
        "clean_trainset_28spk_wav",
        "noisy_trainset_28spk_wav",
        "clean_trainset_56spk_wav",
        "noisy_trainset_56spk_wav",
        "clean_testset_wav",
        "noisy_testset_wav",
    ),
    parts,
    read,
    lambda part: "noise: the noisy file minus the clean one",
)

"""Small trees in the exact layouts of public corpora, made in a moment.

Each maker gives what the sources of a manifest must be: (split, id) -> float32 (2, time).
"""

from pathlib import Path

import numpy as np
import soundfile
from sound_folders import noise, put, voice
from triplet_trees import level, scale, signals

LENGTH = 1600
Truth = dict[tuple[str, str], np.ndarray]


def write(path: Path, x: np.ndarray, rate: int = 16000) -> None:
    """16-bit integers (time,) or (time, channel) as a wav, in folders that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x.astype(np.int16), rate, subtype="PCM_16")


def pair(seed: int, snr_db: float = 0.0, length: int = LENGTH) -> list[np.ndarray]:
    """A voice and a noise ``snr_db`` below it, int16."""
    voice, noise = signals(seed, length)
    return [voice, scale(voice, noise, snr_db)]


def truth(*sources: np.ndarray) -> np.ndarray:
    """Integers as the manifest gives them."""
    return np.stack(sources).astype(np.float32) / 32768


def voicebank_demand(root: Path, speakers="28spk", log=True, count=8, rate=48000, end="") -> Truth:
    """Eight speakers to train on, two to test on."""
    sets = {
        "train": (
            f"trainset_{speakers}", "p226 p227 p228 p230 p231 p233 p236 p239", "babble cafe",
            "0 5 10 15",
        ),
        "test": ("testset", "p232 p257", "bus office", "2.5 7.5 12.5 17.5"),
    }  # fmt: skip
    made = {}
    for split, (name, who, kinds, levels) in sets.items():
        who, kinds, levels, lines = who.split(), kinds.split(), levels.split(), []
        for i in range(count if split == "train" else 4):
            id = f"{who[i % len(who)]}_{i + 1:03d}"
            # the level of the log is that of active speech, above that of the whole file
            voice, noise = pair(i + 100 * len(made), float(levels[i % 4]) - 2)
            write(root / f"clean_{name}_wav{end}" / f"{id}.wav", voice, rate)
            write(root / f"noisy_{name}_wav{end}" / f"{id}.wav", voice + noise, rate)
            lines.append(f"{id} {kinds[i % 2]} {levels[i % 4]}\n")
            made[split, id] = truth(voice, noise)
        if log:
            (root / "logfiles").mkdir(exist_ok=True)
            (root / "logfiles" / f"log_{name}.txt").write_text("".join(lines))
    return made


def ms_snsd(root: Path, count=12, test=True) -> Truth:
    """Each clean file at two SNRs, kept at the level of the last; a test set without noise."""
    made = {}
    for number in range(1, count + 1):
        clean, noise = pair(number)
        for snr_db, gain in ((0.0, 0.5), (13.333333333333334, 1.0)):
            voice = gain * clean
            quiet = level(noise, np.sqrt(np.mean((voice / 32768) ** 2)) / 10 ** (snr_db / 20))
            id = f"noisy{number}_SNRdb_{snr_db}"
            write(root / "NoisySpeech_training" / f"{id}_clnsp{number}.wav", np.rint(voice + quiet))
            write(root / "Noise_training" / f"{id}.wav", quiet)
            made["train", f"{id}_clnsp{number}"] = truth(voice, quiet)
        write(root / "CleanSpeech_training" / f"clnsp{number}.wav", clean)
    for number in range(1, 4 if test else 1):
        voice, noise = pair(100 + number, 10)
        id = f"AirConditioner_1_{number}_SNRdb10_clnsp{number}"
        write(root / "noisy_test" / f"{id}.wav", voice + noise)
        write(root / "clean_test" / f"clnsp{number}.wav", voice)
        made["test", id] = truth(voice, noise)
    write(root / "clean_test" / "clnsp900.wav", pair(900)[0])  # a clean file that is in no mixture
    return made


def ms_snsd_sources(root: Path) -> None:
    """Six speakers and six noises to train on; voices without a speaker and noises to test on."""
    for i in range(6):
        for k in range(2):
            put(root / "clean_train" / f"p{226 + i}_{k + 1:03d}.wav", voice(10 * i + k))
        put(root / "noise_train" / f"Babble_{i + 1}.wav", noise(100 + i))
    for i in range(3):
        put(root / "clean_test" / f"clnsp{i}.wav", voice(200 + i))
        put(root / "noise_test" / f"Babble_{i + 1}.wav", noise(300 + i))


def speakers_and_noise(
    place: Path,
    split: str,
    names: list[str],
    folders: dict[str, str],
    rate: int,
    made: Truth,
    both: bool,
) -> None:
    """Folders of one name for each file: two speakers, a noise and the three mixtures of them."""
    for i, name in enumerate(names):
        first, noise = pair(i + 10 * len(made))
        second, _ = pair(i + 10 * len(made) + 5)
        sounds = {"s1": first, "s2": second, "noise": noise, "mix_single": first + noise,
                  "mix_both": first + second + noise, "mix_clean": first + second}  # fmt: skip
        for folder, x in sounds.items():
            write(place / folders.get(folder, folder) / f"{name}.wav", x, rate)
        made[split, name] = truth(first + second if both else first, noise)


def librimix(root: Path, place="wav16k/min", both=False) -> Truth:
    """Two training folders, and metadata beside them."""
    made = {}
    for folder, split, count in (("train-100", "train", 3), ("train-360", "train", 2),
                                 ("dev", "valid", 2), ("test", "test", 2)):  # fmt: skip
        names = [f"{61 + i}-70968-{i:04d}_{len(made)}-1836-0010" for i in range(count)]
        rate = 16000 if "16k" in place else 8000
        speakers_and_noise(root / place / folder, split, names, {}, rate, made, both)
        for kind in ("single", "both"):
            table = root / place / "metadata" / f"mixture_{folder}_mix_{kind}.csv"
            table.parent.mkdir(exist_ok=True)
            rows = [f"{name},/far/away/{name}.wav,{LENGTH}\n" for name in names]
            table.write_text("mixture_ID,mixture_path,length\n" + "".join(rows))
    return made


def wham(root: Path, place="wav8k/min", both=False, ending="") -> Truth:
    """WHAM!, or WHAMR! with an ending such as ``_reverb``."""
    made = {}
    folders = {name: name + ending for name in ("s1", "s2", "mix_single", "mix_both", "mix_clean")}
    for folder, split, count in (("tr", "train", 3), ("cv", "valid", 2), ("tt", "test", 2)):
        names = [f"{i + 10:03d}a0101_1.4301_22ha010{len(made)}_-1.4301" for i in range(count)]
        speakers_and_noise(root / place / folder, split, names, folders, 8000, made, both)
    return made


def dns(root: Path, noise=True, reverb=("no_reverb", "with_reverb"), train="training") -> Truth:
    """Mixtures of the synthesizer, and the test set, which has no noise; of its first part."""
    made = {}
    places = {root / train: "train"} | {root / "test_set/synthetic" / r: "test" for r in reverb}
    for place, split in places.items():
        for number in range(12 if split == "train" else 3):
            snr_db = (number * 3) % 20
            sources = pair(
                number + 50 * len(made), snr_db - 1
            )  # the name's is that of active parts
            name = f"clnsp{number}_air_conditioner_151977_3_snr{snr_db}_tl-35_fileid_{number}.wav"
            write(place / "noisy" / name, sum(sources))
            write(place / "clean" / f"clean_fileid_{number}.wav", sources[0])
            if noise and split == "train":
                write(place / "noise" / f"noise_fileid_{number}.wav", sources[1])
            made.setdefault((split, f"fileid_{number}"), truth(*sources))
    return made


def musdb(root: Path, length=LENGTH) -> Truth:
    """Songs in stereo; the truth is that of the second channel."""
    made = {}
    tracks = {
        "train": ["A Classic Education - NightOwl", "ANiMAL - Clinic A", "Meaxic - Take A Step"],
        "test": ["AM Contra - Heart Peripheral", "Arise - Run Run Run"],
    }
    for folder, names in tracks.items():
        for name in names:
            stems = {}
            for i, stem in enumerate(("vocals", "drums", "bass", "other")):
                voice, noise = pair(i + 20 * len(made), 5, length)
                stems[stem] = np.stack([voice, noise], 1) if i else np.stack([noise, voice], 1)
            for stem, x in (stems | {"mixture": sum(stems.values())}).items():
                write(root / folder / name / f"{stem}.wav", x, 44100)
            split = "valid" if name.startswith("Meaxic") else folder
            id = name.replace(" ", "_")
            noise = stems["drums"] + stems["bass"] + stems["other"]
            made[split, id] = truth(stems["vocals"][:, 1], noise[:, 1])
    return made

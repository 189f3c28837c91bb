"""Small trees of triplets for tests, made in a moment."""

import csv
from pathlib import Path

import numpy as np
import soundfile

from local.base import disk, experiment
from local.corpus import manifest
from local.corpus.manifest import Row

RATE = 8000
SNRS = ("-5", "0", "5", "10", "15")


def signals(seed: int, length: int, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """A voice (a modulated buzz, in bursts) and a noise, int16 (length,), -26 and -32 dBFS."""
    rng = np.random.default_rng(seed)
    time = np.arange(length) / rate
    pitch = rng.uniform(90, 220)
    buzz = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 12))
    voice = buzz * (0.1 + np.sin(2 * np.pi * rng.uniform(2, 4) * time + rng.uniform(0, 6)) ** 2)
    noise = rng.standard_normal(length)
    return level(voice, 0.05), level(noise, 0.025)


def level(x: np.ndarray, rms: float) -> np.ndarray:
    """``x`` as 16-bit integers with this root mean square (full scale is 1)."""
    return np.rint(x * rms * 32768 / np.sqrt(np.mean(np.square(x, dtype=float)))).astype(np.int16)


def scale(voice: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """``noise`` as 16-bit integers, ``snr_db`` below ``voice``."""
    return level(noise, np.sqrt(np.mean((voice / 32768.0) ** 2)) / 10 ** (snr_db / 20))


def write(path: Path, x: np.ndarray, rate: int = RATE) -> None:
    """A 16-bit wav of integers."""
    soundfile.write(path, x.astype(np.int16), rate, subtype="PCM_16")


def make_folder(
    folder: Path, snr: str = "0", seed: int = 0, length: int = RATE // 2, rate: int = RATE
) -> Path:
    """One faultless triplet: ``voice.wav``, ``noise.wav`` and ``mix_snr_<snr>.wav``, their sum."""
    folder.mkdir(parents=True)
    voice, noise = signals(seed, length, rate)
    noise = scale(voice, noise, float(snr))
    for name, x in (("voice", voice), ("noise", noise), (f"mix_snr_{snr}", voice + noise)):
        write(folder / f"{name}.wav", x, rate)
    return folder


def make_tree(
    root: Path,
    splits: dict[str, int],
    snrs: tuple[str, ...] = SNRS,
    length: int = RATE // 2,
    rate: int = RATE,
) -> Path:
    """``splits`` such as ``{"train": 4, "test": 2}`` of folders 0001, 0002, ..., SNRs in turn."""
    for shift, (split, count) in enumerate(splits.items()):
        (root / split).mkdir(parents=True)
        for i in range(count):
            seed = 1000 * shift + i
            make_folder(root / split / f"{i + 1:04d}", snrs[i % len(snrs)], seed, length, rate)
    return root


def table(path: Path) -> list[dict]:
    """A CSV file as a list of dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def snapshot(root: Path) -> dict:
    """Every file below a folder: its bytes and the time of its last change."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def prepare(tree: Path, name: str, splits: tuple[str, ...], rate: int = RATE) -> None:
    """What stage 0 makes of faultless triplets of half a second: manifests of a data set."""
    folder = experiment.data_dir(name)
    folder.mkdir(parents=True)
    disk.write_yaml(folder / manifest.ROOT_FILE, {"root": str(tree)})
    for split in splits:
        rows = []
        for path in sorted((tree / split).iterdir()):
            mix = next(path.glob("mix_snr_*.wav"))
            snr = mix.stem.removeprefix("mix_snr_")
            files = [
                str(f.relative_to(tree)) for f in (mix, path / "voice.wav", path / "noise.wav")
            ]
            rows.append(Row(f"{path.name}_{snr}", float(snr), *files, rate, rate // 2,
                            1.0, 1.0, float(snr), path.name))  # fmt: skip
        manifest.write(folder / f"{split}.csv", rows)

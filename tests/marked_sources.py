"""Sources that can be told apart once they are mixed, manifests of them, and what is measured."""

import numpy as np
import soundfile
import torch

from local.base import config, disk
from local.corpus import manifest
from local.corpus.manifest import Row

RATE = 8000
LENGTH = 4001  # samples of a file


def make_manifest(folder, sources: list[np.ndarray], rate: int = RATE, gains=(1.0, 1.0)):
    """A manifest of float wavs: voice and noise (2, time) of each example, of any length."""
    rows = []
    (folder / "tree").mkdir(parents=True)
    for i, pair in enumerate(sources):
        names = [f"{name}{i}.wav" for name in ("mix", "voice", "noise")]
        for name, x in zip(names, (gains @ pair, *pair), strict=True):
            soundfile.write(folder / "tree" / name, x.astype(np.float32), rate, subtype="FLOAT")
        rows.append(Row(f"{i}_0", 0.0, *names, rate, pair.shape[1], *gains, 0.0, str(i)))
    manifest.write(folder / "split.csv", rows)
    disk.write_yaml(folder / manifest.ROOT_FILE, {"root": str(folder / "tree")})
    return manifest.read(folder / "split.csv")


def marked(count: int, time: int = LENGTH, seed: int = 0) -> list[np.ndarray]:
    """Sources whose samples are all of one size, ``(example + 1) / 1000``, with random signs.

    So a sample tells which voice it is of, and its gain, wherever the crop was taken.
    """
    rng = np.random.default_rng(seed)
    return [(i + 1) / 1000 * rng.choice([-1.0, 1.0], size=(2, time)) for i in range(count)]


def conf(**changes) -> dict:
    """The committed section ``data``, small; ``apply`` is that of its augmentations."""
    data = config.read("convtasnet")["data"] | {"sample_rate": RATE, "segment": 0.125}
    data["augment"]["apply"] = changes.pop("apply", [])
    return data | changes


STEADY = {"gain_db": [0.0, 0.0], "snr_db": [0.0, 0.0]}


def measured_snr(sources: torch.Tensor) -> float:
    voice, noise = sources.double().square().mean(-1)
    return float(10 * torch.log10(voice / noise))


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

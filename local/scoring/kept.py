"""Estimates of test examples, kept so that pages need not separate them again.

Stage 2 keeps what it separated in ``estimates/`` beside scores.csv, a file per example. It chooses
before it scores: as many examples as fit into half of ``LIMIT``, spread evenly over the manifest.
Stages 3 and 4 take an example from there, and separate and keep it where it is missing: which
examples a page shows depends on the scores.

A sample is kept as a 16-bit float, with 11 significant bits: its error is 66 dB and more below the
sample itself. Scores are always those of the model's own samples.
"""

import contextlib
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from local import SOURCES
from local.base import disk
from local.corpus import manifest
from local.scoring import metrics

LIMIT = 256 * 2**20  # bytes on disk for each experiment and test set
RESERVE = 256 * 2**20  # bytes that stay free on the disk
FOLDER = "estimates"
HEADER = 128  # bytes of a .npy file before its samples
GOLDEN = (5**0.5 - 1) / 2


def choose(num_samples: Sequence[int]) -> list[int]:
    """The examples that stage 2 keeps, given the length of all in samples.

    Fractional parts of multiples of the golden ratio order them: the first so many are spread
    evenly over any manifest, also one whose SNRs or groups repeat.
    """
    sizes = _size(np.asarray(num_samples))
    order = np.argsort(np.arange(len(sizes)) * GOLDEN % 1, kind="stable")
    return sorted(order[np.cumsum(sizes[order]) <= LIMIT // 2].tolist())


def _size(num_samples):
    """Bytes of an example's file."""
    return HEADER + 2 * len(SOURCES) * num_samples


class Kept:
    """What is kept of the estimates of one model on one test set.

    An example is known by its index in the manifest, or by another name that a file may have.

    Args:
        scores: path of scores.csv.
        model_sha256: of the model file; estimates of another one are not found.
    """

    def __init__(self, scores: Path, model_sha256: str):
        self.folder = scores.parent / FOLDER / f"{model_sha256[:16]}-v{metrics.VERSION}"

    def estimates(self, index: int | str, num_samples: int) -> np.ndarray | None:
        """Those of an example, (source, time) float32; None where they are missing or damaged."""
        try:
            held = np.load(self._path(index), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if held.dtype != np.float16 or held.shape != (len(SOURCES), num_samples):
            return None
        return held.astype(np.float32)

    def keep(self, index: int | str, estimates: np.ndarray) -> None:
        """Keep those of an example, unless the disk is nearly full or cannot be written, or a
        sample is NaN or too large for 16 bits."""
        peak = np.abs(estimates).max(initial=0)
        if not peak < np.finfo(np.float16).max:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < RESERVE:
                return
            with disk.replace(self._path(index)) as temporary, open(temporary, "wb") as file:
                np.save(file, estimates.astype(np.float16))

    def has(self, index: int | str) -> bool:
        """Whether an example's estimates are kept."""
        return self._path(index).is_file()

    def has_room(self, num_samples: int) -> bool:
        """Whether another example of this length fits into ``LIMIT``."""
        held = sum(path.stat().st_size for path in self.folder.glob("*.npy"))
        return held + _size(num_samples) <= LIMIT

    def drop_others(self) -> None:
        """Remove what is kept of other models, or by another version."""
        for path in self.folder.parent.glob("*"):
            if path != self.folder:
                shutil.rmtree(path, ignore_errors=True)

    def _path(self, index: int | str) -> Path:
        return self.folder / f"{index}.npy"


def heard(
    test: manifest.Manifest, kept: Kept, model: Path, device: str = "cpu"
) -> Callable[[int], np.ndarray]:
    """What pages play: index -> estimates (source, time), kept or else separated now and kept.

    The model is loaded when it is needed; what it raises is raised then.

    Args:
        test: the manifest that was scored.
        kept: of ``model``.
        model: the checkpoint that was scored.
        device: where it is run, see ``pretrained.choose_device``.
    """

    @functools.cache
    def separator():
        from local.model import pretrained, separators

        return separators.load(model).to(pretrained.choose_device(device))

    def estimate(index: int) -> np.ndarray:
        row = test.row(index)
        held = kept.estimates(index, row.num_samples)
        if held is not None:
            return held

        from local.model import windows

        made = windows.estimate(separator(), test.mix(index), row.sample_rate, test.sources(index))
        if kept.has_room(row.num_samples):
            kept.keep(index, made)
        held = kept.estimates(index, row.num_samples)
        return made if held is None else held  # a page made again sounds the same

    return estimate

"""Estimates that this process makes on a GPU, in batches, while workers score those made before.

Mixtures of one length and rate go through the network at once. Scores are those of one at a time,
to rounding: arithmetic stays in float32.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local.base import parallel
from local.base.errors import UserError
from local.corpus import manifest

BATCH = 16  # mixtures at once, at most
BATCH_SECONDS = 120.0  # of audio at once, at most, unless one mixture is longer


class Separated(NamedTuple):
    """What a worker scores: the row of an example in its manifest, estimates (source, time)."""

    index: int
    estimates: np.ndarray


def results(task, items: Sequence[int], model: Path, test: manifest.Manifest, device, jobs=None):
    """Yield ``task(Separated)`` for rows of a manifest, in any order.

    Args:
        task: see ``parallel.streamed``.
        items: rows.
        model: path of a checkpoint.
        test: the manifest.
        device: a torch device for the network.
        jobs: worker processes.

    Raises:
        UserError: the model or a file cannot be read, or a batch does not fit the device.
    """
    from local.model import separators

    separator = separators.load(model).to(device)
    yield from parallel.streamed(task, separate(separator, test, items), jobs)


def separate(separator, test: manifest.Manifest, items: Sequence[int]) -> Iterator[Separated]:
    """Estimates of rows of a manifest by a separator, on the device where it is.

    Raises:
        UserError: a file cannot be read, or a batch does not fit the device.
    """
    import torch

    from local.model import windows

    torch.backends.cudnn.allow_tf32 = False  # it would round the inputs of convolutions to 10 bits
    for batch in batches(test, items):
        mixes = np.stack([test.mix(i) for i in batch])
        sources = None
        if separator.needs_sources:
            sources = np.stack([test.sources(i) for i in batch])
        try:
            rate = test.row(batch[0]).sample_rate
            made = windows.estimate_batch(separator, mixes, rate, sources)
        except torch.OutOfMemoryError:
            raise UserError("does not fit into the memory of the device; try --device cpu"
                            ) from None  # fmt: skip
        yield from map(Separated, batch, made)


def batches(test: manifest.Manifest, items: Sequence[int]) -> list[list[int]]:
    """Rows in batches of one length and rate."""
    alike = {}
    for i in items:
        row = test.row(i)
        alike.setdefault((row.num_samples, row.sample_rate), []).append(i)
    made = []
    for (length, rate), rows in alike.items():
        size = max(1, min(BATCH, int(BATCH_SECONDS * rate / length)))
        made += [rows[at : at + size] for at in range(0, len(rows), size)]
    return made

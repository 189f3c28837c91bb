"""The work of one worker: score one example, its mixture or a model's estimates.

A worker reads the manifest and the model once and keeps them. It is a process of this machine or
of a cluster with the same files. It scores one example at a time with one thread, even if a
cluster gives it several: the metrics need the process's warnings and numpy's generator, and the
real-time factor its clock.
"""

import functools
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local import SOURCES
from local.corpus import manifest
from local.scoring import kept, metrics
from local.scoring.separated import Separated

SECONDS = "separation_seconds"
_ALONE = threading.Lock()


class Job(NamedTuple):
    """What is scored, and how.

    Attributes:
        manifest: path of the CSV file.
        test_hash: of its content: a worker reads a changed one again.
        chosen: the metrics.
        model: path of a checkpoint; None scores the mixtures, each as the estimate of each source.
        model_sha256: of its content.
        scores: path of the scores.csv beside which estimates are kept; None keeps none.
        above: whose is what lies above the model's band; None: no example has such a rate.
    """

    manifest: str
    test_hash: str
    chosen: metrics.Chosen
    model: str | None = None
    model_sha256: str | None = None
    scores: str | None = None
    above: str | None = None

    @property
    def columns(self) -> list[str]:
        """The floats in each row that ``score`` returns."""
        if self.model is None:
            return [*self.chosen.names]
        return [*self.chosen.names, *metrics.EXTRAS, SECONDS]

    @property
    def identity(self) -> dict:
        """What the numbers depend on, apart from the names of the metrics; plain types."""
        engine = self.chosen.engine
        about = {"version": metrics.VERSION, "test_hash": self.test_hash, "engine": engine}
        about |= {} if self.above is None else {"above": self.above}
        return about if self.model is None else about | {"model_sha256": self.model_sha256}


def score(job: Job, example: int | Separated) -> list[dict]:
    """Score one example of the job's manifest.

    Args:
        job: what is scored, and how.
        example: a row of the manifest; with estimates, where they were made elsewhere.

    Returns:
        a row per source: id, source; ``Job.columns`` as floats, NaN where there is no value or
        the metric is not for this source; ``failed``: {metric: reason}.
    """
    made = isinstance(example, Separated)
    index = example.index if made else example
    with _ALONE:
        examples = _manifest(job.manifest, job.test_hash)
        row, mix, sources = examples.row(index), examples.mix(index), examples.sources(index)
        estimates, seconds = np.stack([mix] * len(SOURCES)), np.nan
        if made:
            estimates = example.estimates
        elif job.model is not None:
            estimates, seconds = _estimate(job, mix, sources, row.sample_rate)
        values, reasons = metrics.score(sources, estimates, row.sample_rate, job.chosen)
        if job.model is not None:
            more, why = metrics.extras(sources, estimates, mix)
            values, reasons = values | more, reasons | why
        if job.scores is not None and index in _kept_of(job.manifest, job.test_hash):
            kept.Kept(Path(job.scores), job.model_sha256).keep(index, estimates)
    values |= {(source, SECONDS): seconds for source in SOURCES}
    return [
        {"id": row.id, "source": source}
        | {name: values.get((source, name), np.nan) for name in job.columns}
        | {"failed": {name: why for (of, name), why in reasons.items() if of == source}}
        for source in SOURCES
    ]


def _estimate(job: Job, mix, sources, rate: int) -> tuple[np.ndarray, float]:
    """Estimates, and the wall seconds that the separation took on one thread."""
    import torch

    from local.model import windows

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        separator = _separator(job.model, job.model_sha256, rate)
        start = time.perf_counter()
        estimates = windows.estimate(separator, mix, rate, sources)
        return estimates, time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)


@functools.lru_cache(maxsize=1)
def _manifest(path: str, test_hash: str) -> manifest.Manifest:
    return manifest.read(path)


@functools.lru_cache(maxsize=1)
def _kept_of(path: str, test_hash: str) -> frozenset[int]:
    return frozenset(kept.choose(_manifest(path, test_hash).rows["num_samples"]))


@functools.lru_cache(maxsize=1)
def _separator(path: str, sha256: str, rate: int):
    """The model of a checkpoint, after a second of silence: a network's first run is slow."""
    from local.model import separators, windows

    separator = separators.load(path)
    silence = np.zeros((len(SOURCES), rate), np.float32)
    windows.estimate(separator, silence[0], rate, silence)
    return separator

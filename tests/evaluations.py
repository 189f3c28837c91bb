"""Stage 2 called here: what was scored, in which order, and what it gave."""

import pandas

from local import evaluate
from local.base import parallel
from local.scoring import example, metrics, score_table

CHOSEN = ["si_sdr", "snr", "sdr_v4", "stoi"]
SCORES = "scores.csv"


def forget() -> None:
    """Make this process a worker that has read nothing yet."""
    example._manifest.cache_clear()
    example._separator.cache_clear()


class Runs(list):
    """Stands in for ``parallel.results``, in this process, and keeps what it was given:
    (model or mixture, metrics, items). ``fails_after``: examples until Ctrl-C."""

    def __init__(self, fails_after=None):
        self.left = fails_after

    def __call__(self, task, items):
        job = task.args[0]
        self.append(("model" if job.model else "mixture", list(job.chosen.names), list(items)))
        for rows in parallel.results(task, items[::-1], jobs=1):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            yield rows


def scored(folder, test, names, engine="fast", run=None):
    """Evaluate in these metrics; the path of scores.csv."""
    chosen = metrics.Chosen(tuple(names), engine)
    return evaluate.evaluate(folder, test, chosen, Runs() if run is None else run)


def read(place) -> pandas.DataFrame:
    return score_table.read_scores(place).set_index(score_table.ROW)


def same(one: pandas.DataFrame, other: pandas.DataFrame) -> None:
    pandas.testing.assert_frame_equal(one, other, rtol=0, atol=1e-6)

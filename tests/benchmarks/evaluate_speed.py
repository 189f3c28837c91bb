"""Two workers of stage 2 against one, every metric, 4 s mixtures at 16 kHz.

Run by hand from the checkout: ``python tests/benchmarks/evaluate_speed.py``. Each worker is a
process with one thread for BLAS and torch. The model is the small Conv-TasNet, untrained. Runs
alternate between one worker and two. Examples per second are taken between the first result and
the last, as workers take some seconds to import torch, however many there are; the whole time is
printed beside them. The machine needs two cores that nothing else uses.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1])]

from scored_experiments import make_experiment, make_manifest  # noqa: E402

from local import evaluate  # noqa: E402
from local.base import parallel  # noqa: E402
from local.corpus import manifest  # noqa: E402
from local.scoring import metrics  # noqa: E402

EXAMPLES = 100
RATE = 16000
REPEATS = 3
TARGET = 1.7


def examples_per_second(folder: Path, test, jobs: int) -> tuple[float, float]:
    """Of the estimates, in the steady state; and the seconds that the whole stage took."""
    shutil.rmtree(folder / "scores", ignore_errors=True)
    shutil.rmtree(folder.parent / ".mixture", ignore_errors=True)
    times = []

    def run(task, items):
        for rows in parallel.results(task, items, jobs=jobs):
            times.append(time.perf_counter())
            yield rows

    start = time.perf_counter()
    evaluate.evaluate(folder, test, metrics.choose("all", [RATE]), run=run)
    warm = times[2 * jobs : EXAMPLES]  # the mixture's follow
    return (len(warm) - 1) / (warm[-1] - warm[0]), time.perf_counter() - start


def main() -> None:
    """Make the data, take the times, print the ratio."""
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        folder = make_experiment("set")
        test = manifest.read(make_manifest("set", EXAMPLES, 4 * RATE, RATE))
        ratios = []
        for _ in range(REPEATS):
            (one, whole_one), (two, whole_two) = (
                examples_per_second(folder, test, jobs) for jobs in (1, 2)
            )
            ratios.append(two / one)
            print(
                f"one worker {one:.1f} examples/s, two {two:.1f}: {two / one:.2f} times;"
                f" the whole stage {whole_one:.0f} s and {whole_two:.0f} s"
            )
        print(f"median {statistics.median(ratios):.2f}, target {TARGET}")
        os.chdir(HERE.parents[2])


if __name__ == "__main__":
    main()

"""Folders per second and core of stage 0: 2,000 triplets of 4 s at 16 kHz, samples looked at.

Run by hand from the checkout: ``python tests/benchmarks/prepare_speed.py``. The tree is made in a
temporary folder (770 MB), read once so that it is in the system's cache, then looked at: in this
process, and by the whole of stage 0 with its worker processes. On a machine that is busy with
other things the rate by CPU time is the one to read.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1])]

import joblib  # noqa: E402
from triplet_trees import make_folder  # noqa: E402

from local.corpus.triplets import look, scan  # noqa: E402

FOLDERS = {"train": 1800, "valid": 100, "test": 100}
TARGET = 200  # folders per second and core
REPEATS = 3
RATE = 16000


def main() -> None:
    """Make the tree, take the times, print the rates."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "tree"
        for split, count in FOLDERS.items():
            for i in range(count):
                make_folder(root / split / f"{i:04d}", "5", i, 4 * RATE, RATE)
        print(f"{sum(FOLDERS.values())} folders, {joblib.cpu_count()} cores")
        for repeat in range(REPEATS + 1):
            start, cpu_start = time.perf_counter(), time.process_time()
            seen = [look(root, split, name) for split in FOLDERS for name in scan(root, split)[0]]
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
            assert all(len(one.examples) == 1 for one in seen)
            if repeat:
                print(
                    f"one process: {len(seen) / wall:.0f} folders/s, {len(seen) / cpu:.0f} per"
                    f" second of CPU ({len(seen) / cpu / TARGET:.1f} times the target)"
                )
        program = [sys.executable, "-m", "local.prepare", "--data", str(root)]
        environment = os.environ | {"PYTHONPATH": str(HERE.parents[2])}
        for _ in range(REPEATS):
            start, cpu_start = time.perf_counter(), children_cpu()
            subprocess.run(program, cwd=place, env=environment, check=True, capture_output=True)
            wall, cpu = time.perf_counter() - start, children_cpu() - cpu_start
            print(
                f"stage 0, start-up included: {len(seen) / wall / joblib.cpu_count():.0f} folders/s"
                f" and core, {len(seen) / cpu:.0f} per second of CPU"
            )


def children_cpu() -> float:
    """Seconds of CPU that ended child processes, and theirs, have taken."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()

"""Seconds of CPU that the preset tiny of each recipe takes: it promises two minutes on two cores.

    python tests/benchmarks/tiny_presets.py [NAME...]

Stage 1 on the embedded data, in a temporary folder, by one thread. CPU time holds on a machine that
is busy with other things, where time by the clock does not; with two threads it counts their
waiting for each other too, and that grows the more the busier the machine is. Beyond the promise
the exit code is 1.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from local.base import config  # noqa: E402

PROMISE = 120  # seconds


def main() -> None:
    """Train the recipes that the command line names, or all; a line for each."""
    late = []
    with tempfile.TemporaryDirectory() as place:
        cpu_seconds(place, "prepare", f"--data={ROOT / 'egs_data'}")
        for name in sys.argv[1:] or config.recipes():
            seconds = cpu_seconds(place, "train", f"--model={name}", "--preset=tiny")
            print(f"{name:24} {seconds:6.1f} s", flush=True)
            late += [name] * (seconds > PROMISE)
    if late:
        raise SystemExit(f"more than {PROMISE} s: {', '.join(late)}")


def cpu_seconds(place: str, stage: str, *words: str) -> float:
    """CPU time of a stage with all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", f"local.{stage}", *words], cwd=place, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()

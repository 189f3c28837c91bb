"""BSS Eval against museval and fast_bss_eval: two sources at 16 kHz, one thread each.

Run by hand from the checkout: ``python tests/benchmarks/bss_eval_speed.py``. In every round each
method scores the same signals (coloured noise under an envelope, in 16 bits) in turn; printed is
the median over the rounds of museval's time in a round by the method's time in that round. Code
is compiled and caches are warm by then; the cold start is that of a process of its own, with an
empty folder for machine code and with the one that this left.
"""

import os

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import fast_bss_eval  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from local.scoring import bss_toeplitz  # noqa: E402
from local.scoring.bss_eval import bss_eval, museval_metrics  # noqa: E402

RATE = 16000
ROUNDS = {4: 25, 10: 15, 60: 7}  # seconds of signal: repetitions
V4 = {"window": RATE, "hop": RATE}
V3 = {"window": np.inf, "hop": np.inf, "bsseval_sources_version": True}
TARGETS = {4: 12, 10: 12, 60: 7}
COLD = """
import time
import numpy as np
signals = np.random.default_rng(0).standard_normal((2, 2, 64000, 1))
start = time.perf_counter()
from local.bss_eval import bss_eval
bss_eval(*signals, 16000, 16000)
print(time.perf_counter() - start)
"""


def recording(rng, seconds: int) -> np.ndarray:
    """Two sources, (2, time, 1), in 16 bits."""
    count = seconds * RATE
    x = rng.standard_normal((2, count + 64))
    x = np.stack([np.convolve(row, rng.standard_normal(65) / 8, "valid") for row in x])
    knots = np.linspace(0, count, 4 * seconds + 1)
    for row in x:
        row *= np.interp(np.arange(count), knots, 10 ** rng.uniform(-2, 0, len(knots)))
    return np.round(x / np.abs(x).max() * 16384)[..., None] / 32768


def without_numba(function, *args, **options):
    """Call a function as on a machine without numba."""
    compiled, bss_toeplitz.compiled = bss_toeplitz.compiled, lambda function: None
    try:
        return function(*args, **options)
    finally:
        bss_toeplitz.compiled = compiled


def compare(methods: dict, rounds: int) -> dict[str, list[float]]:
    """Seconds of each method in each round."""
    times = {name: [] for name in methods}
    for name in [*methods] + [*methods] * rounds:  # the first round warms up
        start = time.perf_counter()
        methods[name]()
        times[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in times.items()}


def report(seconds: int) -> None:
    """Print the ratios at one length."""
    rng = np.random.default_rng(seconds)
    references = recording(rng, seconds)
    estimates = references + 0.2 * references[::-1] + 0.003 * rng.standard_normal(references.shape)
    museval = museval_metrics()
    signals = references, estimates
    tensors = [torch.from_numpy(x[..., 0]) for x in signals]
    methods = {
        "museval v4": lambda: museval.bss_eval(*signals, **V4),
        "ours v4": lambda: bss_eval(*signals, **V4),
        "ours v4, scipy": lambda: without_numba(bss_eval, *signals, **V4),
        "fast_bss_eval": lambda: fast_bss_eval.bss_eval_sources(
            *tensors, compute_permutation=False
        ),
        "museval v3": lambda: museval.bss_eval(*signals, **V3),
        "ours v3": lambda: bss_eval(*signals, **V3),
    }
    times = compare(methods, ROUNDS[seconds])

    def ratio(slow, fast):
        return statistics.median(a / b for a, b in zip(times[slow], times[fast], strict=True))

    ours, theirs = (np.array(methods[name]()[:4]) for name in ("ours v4", "museval v4"))
    print(f"\n{seconds} s: largest difference to museval {np.abs(ours - theirs).max():.1e} dB")
    for name, values in times.items():
        print(f"  {name:15} {1e3 * statistics.median(values):8.1f} ms", end="")
        print(f"  {ratio('museval ' + ('v3' if 'v3' in name else 'v4'), name):6.1f}x museval")
    reached, over = ratio("museval v4", "ours v4"), ratio("fast_bss_eval", "ours v4")
    print(f"  ours by museval {reached:.1f} (target {TARGETS[seconds]})", end=", ")
    print(f"by fast_bss_eval {over:.1f}" + " (target 5)" * (seconds == 4))


def main() -> None:
    """Print ratios at three lengths, and the cold start."""
    torch.set_num_threads(1)
    for seconds in ROUNDS:
        report(seconds)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        print()
        for state in ("compiling", "from numba's cache"):
            command = [sys.executable, "-c", COLD]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, check=True
            )
            print(f"first score of a process, {state}: {float(done.stdout):.2f} s")


if __name__ == "__main__":
    main()

"""Inference of recipes/convtasnet against stock Asteroid: the same weights, one thread.

Run by hand from the checkout: ``python tests/benchmarks/inference_speed.py [--rounds 5]``. One
process loads the checkpoint with ``local.model.separators.load``, another with Asteroid's
``BaseModel.from_pretrained``, for the allocator's settings are the process's. In every round both
separate the same noise in turn; printed is the median over the rounds of the ratio of their times,
by the clock and by CPU time. On a machine that is busy with other things the latter is the one to
read. Then come the real-time factor of the live model that ships (with seeded weights) and the
time of ``winnow --help``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))

SIDES = ("winnow", "asteroid")
# seconds of audio, kernel and stride of the filterbank, how many times as fast; in the last two
# Asteroid's largest tensors, 512 channels of 4 bytes per frame, pass 32 MiB
CASES = ((4, 32, 16, 1.3), (10, 32, 16, 1.3), (10, 16, 8, 3.0), (30, 32, 16, 3.0))
RATE = 16000
LIVE_SECONDS = 20
LIVE_TARGET, HELP_TARGET = 0.5, 0.3  # real-time factor, seconds


def main() -> None:
    """Run both sides in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side at each length")
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        serve(*args.side)
        return
    print("seconds  kernel  target  by the clock  by CPU time  outputs differ by")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "best_model.pth"
        for seconds, kernel, stride, target in CASES:
            write(path, kernel, stride)
            ratios, apart = compare(path, seconds, args.rounds)
            print(f"{seconds:7}  {kernel:6}  {target:6}  {ratios['wall']:12.2f}"
                  f"  {ratios['cpu']:11.2f}  {apart:.0e}", flush=True)  # fmt: skip
    print(f"live: real-time factor {live():.3f} by CPU time (target {LIVE_TARGET})")
    print(f"winnow --help: {help_time():.2f} s of CPU (target {HELP_TARGET})")


def write(path: Path, kernel: int, stride: int) -> None:
    """A checkpoint of recipes/convtasnet, without mixture consistency, which Asteroid has not."""
    from local.base import config
    from local.model import checkpoint, separators

    conf = config.read("convtasnet", None, {
        "mixture_consistency": "none", "model.kernel_size": kernel, "model.stride": stride,
    })  # fmt: skip
    checkpoint.save(path, separators.construct(conf, "convtasnet"), {})


def compare(path: Path, seconds: int, rounds: int) -> tuple[dict, float]:
    """Median ratios of the times, and the largest difference over the largest amplitude."""
    import numpy as np

    processes = {side: start(side, path) for side in SIDES}
    times = {side: [] for side in SIDES}
    for _ in range(1 + rounds):  # the first warms up
        for side, process in processes.items():
            print(seconds, path.with_name(side), file=process.stdin, flush=True)
            times[side].append(json.loads(process.stdout.readline()))
    for process in processes.values():
        process.communicate()
    ratios = {
        key: statistics.median(
            theirs[key] / ours[key] for ours, theirs in list(zip(*times.values(), strict=True))[1:]
        )
        for key in ("wall", "cpu")
    }
    ours, theirs = (np.load(path.with_name(f"{side}.npy")) for side in SIDES)
    return ratios, float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def start(side: str, path: Path) -> subprocess.Popen:
    """``serve`` in a new process."""
    return subprocess.Popen(
        [sys.executable, str(HERE), "--side", side, str(path)], text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def serve(side: str, path: str) -> None:
    """Separate noise of so many seconds for every line of standard input."""
    import warnings

    warnings.simplefilter("ignore")
    import numpy as np
    import torch

    torch.set_num_threads(1)
    if side == "winnow":
        from local.model import separators

        network, mode = separators.load(path), torch.inference_mode
    else:
        from asteroid.models import BaseModel

        network, mode = BaseModel.from_pretrained(path).eval(), torch.no_grad
    for line in sys.stdin:
        seconds, out = line.split(" ", 1)
        generator = torch.Generator().manual_seed(0)
        mix = 0.1 * torch.randn(1, int(seconds) * RATE, generator=generator)
        wall, cpu = time.perf_counter(), time.process_time()
        with mode():
            estimates = network(mix)
        times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        np.save(out.strip(), estimates.numpy())
        print(json.dumps(times), flush=True)


def live() -> float:
    """The real-time factor of the live model, by CPU time of one thread."""
    import torch

    from local.model import pretrained, separators
    from local.separation.live import Live

    torch.set_num_threads(1)
    stream = Live(separators.build(pretrained.default("live")))
    mix = 0.1 * torch.randn(1, LIVE_SECONDS * RATE)
    stream.push(mix[:, :RATE])
    start = time.process_time()
    for piece in mix.split(RATE // 100, 1):  # 10 ms at a time, as a sound card gives them
        stream.push(piece)
    return (time.process_time() - start) / LIVE_SECONDS


def help_time() -> float:
    """CPU seconds of ``winnow --help``: the median of five."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "local.separate", "--help"], check=True,
                       cwd=HERE.parents[2], stdout=subprocess.DEVNULL)  # fmt: skip
        after = os.times()
        times.append(sum(after[2:4]) - sum(before[2:4]))
    return statistics.median(times)


if __name__ == "__main__":
    main()

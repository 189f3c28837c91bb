"""Training of recipes/convtasnet against stock Asteroid: steps per second, memory, outputs.

Run by hand from the checkout::

    python tests/benchmarks/training_speed.py [--batch 2] [--steps 4] [--rounds 2] [--threads N]

Both sides train the full network of recipes/convtasnet on the same batches of 4 s at 16 kHz with
PIT SI-SDR, Adam and clipping, in Lightning's Trainer: one with ``local.training.system.System``,
the other with Asteroid's ``System``, ``PITLossWrapper`` and layers as they come. Only the batch is
smaller than that of conf.yml (16), to fit a machine of 16 GB. Each side runs in a process of its
own, in turns, because the allocator's settings and the peak memory are the process's. On a machine
that is busy with other things the ratio by CPU time is the one to read.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))

SIDES = ("winnow", "asteroid")
WARM_UP = 1  # steps that are not counted
TARGETS = {"speed": 1.4, "memory": 0.8, "difference": 1e-6}
SETTINGS = {"loss.sisdr": 1.0, "loss.snr": 0.0, "loss.permutation": "pit",
            "mixture_consistency": "none", "scheduler.name": None}  # fmt: skip


def main() -> None:
    """Run both sides in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=2, help="mixtures per step")
    parser.add_argument("--steps", type=int, default=4, help="steps that are counted, per run")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--outputs", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args)))
        return
    runs = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as place:
        outputs = {side: Path(place) / f"{side}.npy" for side in SIDES}
        for _ in range(args.rounds):
            for side in SIDES:
                runs[side].append(run(args, side, outputs[side]))
                print(f"{side}: {describe(runs[side][-1])}", flush=True)
        report(runs, difference(*outputs.values()))


def run(args, side: str, outputs: Path) -> dict:
    """``measure`` in a new process."""
    command = [
        sys.executable, str(HERE), "--side", side, "--outputs", str(outputs),
        "--batch", str(args.batch), "--steps", str(args.steps), "--threads", str(args.threads),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(args) -> dict:
    """Train ``args.steps`` steps: seconds of each by clock and by CPU, and peak memory in GB."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    import numpy as np
    import pytorch_lightning as pl
    import torch

    from local.base import config

    torch.set_num_threads(args.threads)
    conf = config.read("convtasnet", None, SETTINGS | {
        "data.batch_size": args.batch, "data.num_workers": 0, "trainer.accelerator": "cpu",
    })  # fmt: skip
    data = Batches(conf, args.batch * (WARM_UP + args.steps))
    system, clip = globals()[f"{args.side}_system"](conf, data)
    mix = torch.stack([data[i][0] for i in range(args.batch)])
    system.eval()
    with torch.no_grad():
        np.save(args.outputs, system(mix).numpy())
    system.train()

    class Clock(pl.Callback):
        def __init__(self):
            self.wall, self.cpu = [], []

        def on_train_batch_start(self, *_):
            self.start = time.perf_counter(), time.process_time()

        def on_train_batch_end(self, *_):
            self.wall.append(time.perf_counter() - self.start[0])
            self.cpu.append(time.process_time() - self.start[1])

    clock = Clock()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[clock], gradient_clip_val=clip, logger=False,
        limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(system)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"wall": clock.wall[WARM_UP:], "cpu": clock.cpu[WARM_UP:], "peak": peak}


class Batches:
    """White noise: (mix (time,), sources (source, time)) of each index, the same on both sides."""

    def __init__(self, conf: dict, size: int):
        self.length = int(conf["data"]["segment"] * conf["data"]["sample_rate"])
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int):
        import torch

        if not 0 <= index < self.size:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(index)
        sources = 0.1 * torch.randn(2, self.length, generator=generator)
        return sources.sum(0), sources

    def set_epoch(self, epoch: int) -> None:
        """The same in every epoch."""


def winnow_system(conf: dict, data: Batches):
    """What stage 1 trains; it clips by itself."""
    from local.model import separators
    from local.training import mixtures
    from local.training.system import System

    mixtures.training = mixtures.validation = lambda *_: data
    return System(separators.construct(conf, "convtasnet"), conf, None, None), None


def asteroid_system(conf: dict, data: Batches):
    """The same network, loss and optimiser of nothing but Asteroid."""
    import torch
    from asteroid.engine.optimizers import make_optimizer
    from asteroid.engine.system import System
    from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr
    from asteroid.models import ConvTasNet
    from torch.utils.data import DataLoader

    arguments = {key: value for key, value in conf["model"].items() if key != "filterbank"}
    torch.manual_seed(conf["seed"])
    network = ConvTasNet(n_src=2, sample_rate=conf["data"]["sample_rate"], **arguments)
    optimizer = make_optimizer(network.parameters(), optimizer="adam", lr=conf["optim"]["lr"])
    loss = PITLossWrapper(pairwise_neg_sisdr, pit_from="pw_mtx")
    loader = DataLoader(data, batch_size=conf["data"]["batch_size"])
    return System(network, optimizer, loss, loader), conf["trainer"]["gradient_clip"]


def difference(ours: Path, theirs: Path) -> float:
    """The largest difference of the outputs before training, over their largest amplitude."""
    import numpy as np

    ours, theirs = np.load(ours), np.load(theirs)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))


def describe(result: dict) -> str:
    wall, cpu = statistics.median(result["wall"]), statistics.median(result["cpu"])
    return f"{wall:.2f} s per step, {cpu:.2f} s of CPU, {result['peak']:.2f} GB"


def report(runs: dict, apart: float) -> None:
    """Ratios of the medians over all steps of all runs."""
    ours, theirs = runs.values()

    def ratio(key):
        values = [[v for result in side for v in result[key]] for side in (theirs, ours)]
        return statistics.median(values[0]) / statistics.median(values[1])

    peak = max(r["peak"] for r in ours) / max(r["peak"] for r in theirs)
    print(f"steps per second: {ratio('wall'):.2f} times Asteroid's by the clock, {ratio('cpu'):.2f}"
          f" by CPU time (target {TARGETS['speed']})")  # fmt: skip
    print(f"peak memory: {peak:.2f} of Asteroid's (target {TARGETS['memory']})")
    print(f"outputs differ by {apart:.1e} (target {TARGETS['difference']:.0e})")


if __name__ == "__main__":
    main()

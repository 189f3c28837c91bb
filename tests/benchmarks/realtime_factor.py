"""How fast recipes separate and learn, with untrained weights on one thread.

Run by hand from the checkout::

    python tests/benchmarks/realtime_factor.py [NAME ...] [--seconds 4 10 30] [--rounds 5] [--write]

NAME is ``RECIPE``, with the settings of its conf.yml, or ``RECIPE-PRESET``. Without names, it is
every recipe whose packages are installed, and each that has weights also with the preset small. In
every round each one separates the same mixtures in turn, through ``windows.estimate`` as stage 2
does, and, if it has weights and no preset, does one step of training on 2 mixtures of 2 s (loss,
gradient, clipping, optimiser). Printed are seconds of CPU time per second of audio, the median over
the rounds: on an idle machine that is the real-time factor, on a busy one it leaves out what others
do. What comes first, compiling and planning, is not counted. All are kept in memory, some 12 GB.
``--write`` adds the first length to recipes/speed.csv; ``python -m local.results write`` makes its
table and the figure.
"""

import os

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import shlex
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from tqdm import tqdm

from local.base import config, experiment
from local.base.errors import UserError
from local.model import separators, windows
from local.reporting import speeds, tables
from local.training.losses import SourceLoss
from local.training.system import make_optimizer

BATCH, SEGMENT = 2, 2.0  # mixtures, and seconds of each, per step of training
SMALL = "-small"
TARGET = 0.01
RIVAL = "noisereduce"
TARGETED = ("spectral_subtraction", "wiener")  # at most TARGET, and not slower than RIVAL


def main() -> None:
    """Time all in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="RECIPE or RECIPE-PRESET; default: all")
    parser.add_argument("--seconds", nargs="+", type=float, default=[4, 10, 30], help="of audio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="add to recipes/speed.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = args.names or [f"{recipe}{end}" for recipe in config.recipes() for end in ("", SMALL)]
    jobs, parameters = {}, {}
    for name in names:
        recipe, _, preset = name.partition("-")
        try:
            separator = prepared(recipe, preset or None)
        except UserError as error:
            print(f"left out: {error}")
            continue
        count = separators.count_parameters(separator)
        if preset and not count and not args.names:
            continue  # what has nothing to train has no smaller size
        parameters[name] = count
        for seconds in args.seconds:
            jobs[name, seconds] = separation(separator, seconds)
        if count and not preset:
            jobs[name, None] = training(recipe)
    times = {key: [] for key in jobs}
    for key in tqdm([*jobs] * (1 + args.rounds)):  # the first round warms up
        start = time.process_time()
        jobs[key]()
        times[key].append(time.process_time() - start)
    factors = {
        (name, seconds): statistics.median(spent[1:]) / (seconds or BATCH * SEGMENT)
        for (name, seconds), spent in times.items()
    }
    report(factors, args.seconds)
    if args.write:
        write(factors, args.seconds[0], parameters)


def write(factors: dict, seconds: float, parameters: dict[str, int]) -> None:
    """Put this run into recipes/speed.csv."""
    commit = experiment.provenance()["commit"]
    command = shlex.join(["python", "tests/benchmarks/realtime_factor.py", *sys.argv[1:]])
    rows = []
    for name, count in parameters.items():
        recipe, _, preset = name.partition("-")
        training = factors.get((name, None))
        rows.append({
            "recipe": recipe, "preset": preset, "parameters": count, "seconds": f"{seconds:g}",
            "separation": f"{factors[name, seconds]:.6f}",
            "training": "" if training is None else f"{training:.6f}",
            "commit": commit, "command": command,
        })  # fmt: skip
    speeds.add(rows)


def prepared(recipe: str, preset: str | None) -> separators.Separator:
    """An untrained separator; what is learnt without gradients is learnt from noise."""
    separator = separators.build(recipe, preset)
    if hasattr(separator.network, "fit"):
        sources = signals(SEGMENT, separator.sample_rate, BATCH)
        with torch.no_grad():
            separator.network.fit([(sources.sum(1), sources)])
    return separator


def signals(seconds: float, rate: int, count: int) -> torch.Tensor:
    """Bursts of a buzz, and a white noise, (count, source, time)."""
    time_axis = torch.arange(int(seconds * rate)) / rate
    buzz = sum(torch.sin(2 * torch.pi * 120 * k * time_axis) / k for k in range(1, 20))
    generator = torch.Generator().manual_seed(0)
    noise = 0.02 * torch.randn(count, len(time_axis), generator=generator)
    voice = (0.1 * buzz * (time_axis % 1 < 0.6)).expand_as(noise)
    return torch.stack([voice, noise], 1)


def separation(separator: separators.Separator, seconds: float):
    """A function that separates ``seconds`` of audio once."""
    [sources] = signals(seconds, separator.sample_rate, 1).numpy()
    mix = sources.sum(0)
    return lambda: windows.estimate(separator, mix, separator.sample_rate, sources)


def training(recipe: str):
    """A function that does one step of training."""
    conf = config.read(recipe)
    separator = separators.construct(conf, recipe).train()
    optimizer = make_optimizer(separator.network, conf["optim"])
    objective = getattr(separator.network, "loss", None)
    source_loss = SourceLoss(conf["loss"])
    sources = signals(SEGMENT, separator.sample_rate, BATCH)
    mix, clip = sources.sum(1), conf["trainer"]["gradient_clip"]

    def step():
        value, _ = objective(mix, sources) if objective else source_loss(separator(mix), sources)
        optimizer.zero_grad()
        value.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(separator.parameters(), clip)
        optimizer.step()

    return step


def report(factors: dict, lengths: list[float]) -> None:
    """Print the table, the fastest first, and whether the targets are met."""
    names = dict.fromkeys(name for name, _ in factors)
    columns = [*lengths, None]
    rows = [
        ((name,), *((tables.Number(factors.get((name, x), float("nan")), 5),) for x in columns))
        for name in sorted(names, key=lambda name: factors[name, lengths[-1]])
    ]
    header = ("recipe", *(f"{seconds:g} s" for seconds in lengths), "training")
    caption = "Seconds of CPU time per second of audio: separation by length, and training"
    print(tables.text(tables.Table(caption, header, tuple(rows))), end="")
    for name in filter(names.__contains__, TARGETED):
        slowest = max(factors[name, seconds] for seconds in lengths)
        print(f"{name}: at most {slowest:.5f} (target {TARGET})", end="")
        if RIVAL in names:
            ratio = max(factors[name, x] / factors[RIVAL, x] for x in lengths)
            print(f", {ratio:.2f} times {RIVAL}'s (target 1)", end="")
        print()


if __name__ == "__main__":
    main()

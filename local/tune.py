"""Score every combination of settings on the valid split, the best first.

    python -m local.tune --model NAME --name DATA [--files N] --model.a 1,2 --model.b x,y

A key of conf.yml takes several values separated by commas (so a list is no value), and every
combination is tried. It is for recipes without training by gradients; what they learn otherwise
(``fit``) is learnt again for each combination, from train. Nothing is written, and the test split
is never read.
"""

import itertools
import sys

import numpy as np
import pandas

from local import SOURCES
from local.base import config, experiment, progress
from local.base.errors import Parser, UserError, guard
from local.reporting import statistics, tables

METRIC = "si_sdr"
MIXTURE = "mixture"


def main() -> None:
    """Score the combinations of the command line and print a table."""
    parser = Parser(prog="python -m local.tune", description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="a folder below recipes/")
    parser.add_argument("--preset", help="a partial tree of settings in the recipe's conf.yml")
    parser.add_argument("--name", required=True, help="name of the data set, a folder below data/")
    parser.add_argument("--files", type=int, metavar="N", help="so many mixtures (default: all)")
    own, overrides = config.split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    if args.files is not None and args.files < 1:
        raise UserError(f"--files expects 1 or more, found {args.files}")
    grid = combinations(overrides)
    confs = [config.read(args.model, args.preset, changes) for changes in grid]

    import torch

    from local.corpus import manifest

    torch.set_num_threads(1)
    splits = {split: manifest.read(experiment.data_dir(args.name) / f"{split}.csv")
              for split in ("train", "valid")}  # fmt: skip
    if not len(splits["valid"]):
        raise UserError(f"{splits['valid'].path}: no examples to score")
    snr_db = splits["valid"].rows["snr_db"]
    chosen = spread(snr_db, args.files)
    lines = {MIXTURE: scores(None, splits["valid"], chosen)}
    for changes, conf in zip(grid, progress.bar(confs, "tuning", unit="settings"), strict=True):
        name = " ".join(f"{key}={value}" for key, value in changes.items()) or "conf.yml"
        lines[name] = scores(fitted(args.model, conf, splits["train"]), splits["valid"], chosen)
    print(tables.text(table(lines, snr_db.iloc[chosen])), end="")


def combinations(overrides: dict[str, str]) -> list[dict[str, str]]:
    """Every combination of values: ``{"a": "1,2", "b": "x"}`` -> ``[{"a": "1", "b": "x"}, ...]``.

    Raises:
        UserError: an empty value between commas.
    """
    values = {key: [value.strip() for value in text.split(",")] for key, text in overrides.items()}
    for key, found in values.items():
        if "" in found:
            raise UserError(f"--{key} expects values with commas between, found {overrides[key]!r}")
    return [
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    ]


def spread(snr_db: pandas.Series, count: int | None) -> list[int]:
    """``count`` rows, or all, of a manifest, in which each SNR has its share.

    Args:
        snr_db: that of each row.
    """
    order = snr_db.reset_index(drop=True).sort_values(kind="stable").index
    count = min(count or len(order), len(order))
    return sorted(int(order[(2 * i + 1) * len(order) // (2 * count)]) for i in range(count))


def fitted(recipe: str, conf: dict, train):
    """A separator of resolved settings; what it learns without gradients is learnt from ``train``.

    Raises:
        UserError: settings that the recipe refuses, or a recipe with weights to train.
    """
    from local.model import separators
    from local.training.fitting import fit

    separator = separators.construct(conf, recipe).eval()
    if separators.count_parameters(separator):
        raise UserError(
            f"{recipe} has weights to train: expected a recipe without; stage 1 trains it"
        )
    if hasattr(separator.network, "fit"):
        fit(separator, conf, train)
    return separator


def scores(separator, valid, chosen: list[int]) -> pandas.DataFrame:
    """SI-SDR of the estimates of some rows of a manifest; None: of the mixtures.

    Returns:
        a row for each of ``chosen``, a column for each source, in dB; NaN where it has no value.
    """
    from local.model import windows
    from local.scoring import metrics

    found = []
    for i in chosen:
        mix, sources, rate = valid.mix(i), valid.sources(i), valid.row(i).sample_rate
        estimates = np.stack([mix] * len(SOURCES))
        if separator is not None:
            estimates = windows.estimate(separator, mix, rate, sources)
        values, _ = metrics.score(sources, estimates, rate, metrics.Chosen((METRIC,)))
        found.append([values[source, METRIC] for source in SOURCES])
    return pandas.DataFrame(found, columns=list(SOURCES))


def table(lines: dict[str, pandas.DataFrame], snr_db: pandas.Series) -> tables.Table:
    """Mean scores of each line, over all and by SNR: first the mixture's, then the best first."""
    labels, levels = statistics.levels(snr_db)
    labels = labels.to_numpy()
    rows = []
    for name, found in lines.items():
        per_level = found.groupby(labels).mean()
        means = [found[source].mean() for source in SOURCES]
        means += [per_level.loc[level, source] for source in SOURCES for level in levels]
        failed = tables.Number(int(found.isna().sum().sum()), None)
        rows.append(((name,), *((tables.Number(mean),) for mean in means), (failed,)))
    best = sorted(rows[1:], key=lambda row: -np.nan_to_num(row[1][0].value, nan=-np.inf))
    of_levels = (f"{source} {level}" for source in SOURCES for level in levels)
    header = ("mean SI-SDR (dB)", *SOURCES, *of_levels, "failed")
    caption = f"Valid split, {len(snr_db)} mixtures; over all, then by SNR (dB)"
    return tables.Table(caption, header, (rows[0], *best))


if __name__ == "__main__":
    guard(main)

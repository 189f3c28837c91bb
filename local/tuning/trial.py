"""One trial: a recipe with some settings is trained where it learns by gradients, and scored.

Its score is SI-SDR on whole mixtures of the valid split, separated as stage 2 and ``winnow`` do. A
recipe without weights to train is fitted here; any other is trained by stage 1, as an experiment
of its own, which continues where it was interrupted.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas

from local import SOURCES
from local.base import config, experiment, stage_process
from local.base.errors import UserError
from local.base.experiment import Experiment
from local.corpus.manifest import Manifest
from local.reporting import statistics

METRIC = "si_sdr"
COSTS = ("parameters", "macs_per_second", "audio_seconds_seen", "training_seconds")


class Setting(NamedTuple):
    """A recipe with settings, and its experiment's name for the stages.

    Attributes:
        recipe: a folder below ``recipes/``.
        preset: or None.
        tag: or None.
        data: name of the data set.
        changes: dotted key -> text, as on a command line.
    """

    recipe: str
    preset: str | None
    tag: str | None
    data: str
    changes: dict[str, str]

    @property
    def experiment(self) -> Experiment:
        """Where stage 1 keeps it."""
        return Experiment(experiment.exp_dir(self.data, self.recipe, self.preset, self.tag))

    def run_stage(self, stage: str, *words: str, environment: dict | None = None) -> None:
        """Run a stage on it, as a process of its own.

        Raises:
            UserError: it failed; the line that says why.
        """
        options = {"model": self.recipe, "preset": self.preset, "tag": self.tag, "name": self.data}
        names = [f"--{option}={name}" for option, name in options.items() if name]
        log = self.experiment.folder / stage_process.LOG
        fault = stage_process.run_stage(stage, [*names, *words], log, environment)
        if fault is not None:
            raise UserError(fault)

    def train(self, environment: dict | None = None) -> None:
        """Stage 1; what is trained already is left as it is."""
        words = [f"--{key}={text}" for key, text in self.changes.items()]
        self.run_stage("train", *words, environment=environment)


class Split(NamedTuple):
    """What a search may see: the manifests, and which rows of ``valid`` are scored.

    ``device``: of torch, where these are separated in batches; None: on the CPU, one at a time.
    """

    train: Manifest
    valid: Manifest
    chosen: list[int]
    device: object = None


def settings(space, values: dict, tag: str | None, data: str) -> list[Setting]:
    """The settings of a trial, one for each seed.

    Args:
        space: ``local.tuning.space.Space``.
        values: name of each dimension -> its value.
        tag: of all experiments of the search, or None.
        data: name of the data set.
    """
    recipe, changes = space.resolve(values)
    found = []
    for seed in space.seeds or (None,):
        words = [tag, space.word(values), None if seed is None else f"seed{seed}"]
        of_seed = {} if seed is None else {"seed": seed}
        name = "_".join(filter(None, words)) or None
        found.append(Setting(recipe, space.preset, name, data, changes | of_seed))
    return found


def build(of: Setting):
    """The separator of a setting, untrained, in eval mode.

    Raises:
        UserError: the recipe refuses these settings.
    """
    from local.model import separators
    from local.training import refusals

    conf = config.read(of.recipe, of.preset, of.changes)
    refusals.check(conf)
    separator = separators.construct(conf, of.recipe).eval()
    if separator.needs_sources and separators.count_parameters(separator):
        raise UserError(f"{of.recipe} is given the references: it cannot be trained")
    return separator


def run(of: Setting, separator, split: Split, environment: dict) -> tuple[pandas.DataFrame, dict]:
    """Train and score one setting.

    Args:
        of: what is run.
        separator: as ``build`` makes it.
        split: the data.
        environment: further variables of stage 1.

    Returns:
        ``scores`` of it, and its costs by COSTS.

    Raises:
        UserError: a failed training.
    """
    from local.model import separators
    from local.training import fitting

    costs = {"parameters": separators.count_parameters(separator)}
    if costs["parameters"]:
        of.train(environment)
        costs = {name: of.experiment.facts.get(name) for name in COSTS}
        separator = separators.load(of.experiment.model)
    elif hasattr(separator.network, "fit"):
        fitting.fit(separator, config.read(of.recipe, of.preset, of.changes), split.train)
    return scores(separator, split), costs


def spread(snr_db: pandas.Series, count: int | None) -> list[int]:
    """``count`` rows, or all, of a manifest, in which each SNR has its share.

    Args:
        snr_db: that of each row.
    """
    order = snr_db.reset_index(drop=True).sort_values(kind="stable").index
    count = min(count or len(order), len(order))
    return sorted(int(order[(2 * i + 1) * len(order) // (2 * count)]) for i in range(count))


def scores(separator, split: Split) -> pandas.DataFrame:
    """SI-SDR of the estimates of the chosen rows of valid; None: of the mixtures.

    Returns:
        a row for each, a column for each source, in dB; NaN where it has no value.
    """
    from local.scoring import metrics

    valid, found = split.valid, {}
    for i, estimates in _estimates(separator, split):
        values, _ = metrics.score(
            valid.sources(i), estimates, valid.row(i).sample_rate, metrics.Chosen((METRIC,))
        )
        found[i] = [values[source, METRIC] for source in SOURCES]
    return pandas.DataFrame([found[i] for i in split.chosen], columns=list(SOURCES))


def _estimates(separator, split: Split) -> Iterator[tuple[int, np.ndarray]]:
    """The chosen rows, in any order, each with its estimates (source, time); see ``scores``."""
    from local.model import windows
    from local.scoring import separated

    valid = split.valid
    if separator is not None and split.device is not None:
        yield from separated.separate(separator.to(split.device), valid, split.chosen)
        return
    for i in split.chosen:
        mix = valid.mix(i)
        if separator is None:
            yield i, np.stack([mix] * len(SOURCES))
        else:
            yield i, windows.estimate(separator, mix, valid.row(i).sample_rate, valid.sources(i))


def summary(found: pandas.DataFrame, split: Split) -> dict[str, float | None]:
    """Means in dB, over all and by SNR, their intervals, and how many scores have no value.

    Args:
        found: ``scores``, the mean over a trial's seeds.

    Returns:
        ``voice``, ``voice -5``, ..., ``voice ci_low``, ``voice ci_high``, the same of the noise,
        and ``failed``; None where there is no value.
    """
    rows = split.valid.rows.iloc[split.chosen]
    labels, levels = statistics.levels(rows["snr_db"])
    per_level = found.groupby(labels.to_numpy()).mean()
    low, high = statistics.interval(found[list(SOURCES)], rows["group"])
    values = {}
    for k, source in enumerate(SOURCES):
        values[source] = found[source].mean()
        values |= {f"{source} {level}": per_level.loc[level, source] for level in levels}
        values |= {f"{source} ci_low": low[k], f"{source} ci_high": high[k]}
    plain = {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
    return plain | {"failed": int(found.isna().sum().sum())}

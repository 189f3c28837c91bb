"""The experiments scored on one test set: who takes part in a comparison, and who does not.

Experiments that differ in nothing but their training seed are one contender: its score of an
example is the mean over its seeds. An oracle, which was given the references, is a bound.
"""

import collections
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas

from local.base import disk, progress
from local.base.errors import UserError, refusal
from local.base.experiment import Experiment
from local.scoring import metrics, score_table, seed_runs
from local.scoring.score_table import MIXTURE


class Scored(NamedTuple):
    """An experiment and its scores on one test set.

    Attributes:
        experiment: where it lies.
        scores: rows of scores.csv, indexed by id and source.
        about: scores.yml.
    """

    experiment: Experiment
    scores: pandas.DataFrame
    about: dict


class Contender(NamedTuple):
    """A line of the comparison.

    Attributes:
        name: of the experiment, or what the names of its seeds have in common; of the first of
            them, where two contenders would be called the same.
        seeds: training seed -> its experiment.
        scores: (id, source) -> score of each metric, the mean over the seeds.
        bound: whether it is an oracle.
    """

    name: str
    seeds: dict[int | None, Scored]
    scores: pandas.DataFrame
    bound: bool

    @property
    def first(self) -> Scored:
        """The experiment that is heard."""
        return next(iter(self.seeds.values()))

    def cost(self, name: str) -> float:
        """A number of scores.yml, the mean over the seeds; NaN where it is not known."""
        found = [of.about.get(name) for of in self.seeds.values()]
        return float(np.mean([np.nan if value is None else value for value in found]))


def find(folder: Path, test_hash: str) -> tuple[list[Scored], dict[str, str]]:
    """The experiments of a data set that were scored alike on one test set, and the others.

    Args:
        folder: ``exp/<data>``.
        test_hash: of the test manifest.

    Returns:
        experiments by name; and name -> why it is left out.
    """
    found, left_out = [], {}
    paths = sorted(folder.iterdir() if folder.is_dir() else ())
    for path in progress.bar(paths, "reading scores", unit="folders", leave=False):
        try:
            of = Experiment(path)
            if any(place.exists() for place in (of.conf_path, of.model, path / "scores")):
                found.append(read(of, test_hash))
        except (UserError, OSError) as error:  # such as a folder of another user
            left_out[path.name] = refusal(error) or str(error)
    kept, unlike = _scored_alike(found)
    return kept, dict(sorted((left_out | unlike).items()))


def read(of: Experiment, test_hash: str) -> Scored:
    """An experiment's scores on one test set.

    Raises:
        UserError: it cannot take part; the line says why.
    """
    place = of.scores(test_hash)
    partial = place.with_name("scores.partial.csv")
    for path in (of.model, of.conf_path, of.facts_path):
        if not path.is_file():
            raise UserError(f"no {path.name}: its training is unfinished; stage 1 continues it")
    if not place.is_file():
        if partial.is_file():
            raise UserError("its scoring is unfinished; stage 2 continues it")
        if others := of.scored_on():
            raise UserError(f"scored on another test set ({', '.join(others)}); stage 2 scores it")
        raise UserError("not scored; stage 2 scores it")
    _ = of.conf, of.facts  # what is damaged ends here
    about = disk.read_yaml(place.with_suffix(".yml"), score_table.SCORED)
    if about.get("version") != metrics.VERSION:
        raise UserError("scored by another version of the metrics; run stage 2 again")
    seed_runs.check_model(of.model, place.with_suffix(".yml"))
    return Scored(of, score_table.read_scores(place).set_index(["id", "source"]), about)


def _scored_alike(found: list[Scored]) -> tuple[list[Scored], dict[str, str]]:
    """Those with the engine, and then with all the metrics, that most have."""
    if not found:
        return [], {}
    engines = collections.Counter(of.about["engine"] for of in found)
    engine = max(engines, key=lambda name: (engines[name], name == metrics.ENGINES[0]))
    sets = collections.Counter(
        frozenset(of.about["metrics"]) for of in found if of.about["engine"] == engine
    )
    common = max(sets, key=lambda names: (sets[names], len(names), sorted(names)))
    kept, unlike = [], {}
    for of in found:
        missing = [name for name in metrics.METRICS if name in common - {*of.about["metrics"]}]
        if of.about["engine"] != engine:
            unlike[of.experiment.name] = (
                f"scored by engine {of.about['engine']}, most by {engine}; stage 2 scores it so"
            )
        elif missing:
            unlike[of.experiment.name] = (
                f"scored without {', '.join(missing)}, which most have; stage 2 adds them"
            )
        else:
            kept.append(of)
    return kept, unlike


def group_seeds(found: list[Scored], test_hash: str) -> list[Contender]:
    """Contenders of experiments; those that differ in their training seed only become one."""
    all_found = [of.experiment for of in found]
    rest = {of.experiment: of for of in found}
    groups = []
    while rest:
        of = rest[next(iter(rest))]
        alike = seed_runs.siblings(of.experiment, test_hash, all_found)
        groups.append({seed: rest.pop(other) for seed, other in sorted(alike.items())
                       if other in rest})  # fmt: skip
    names = [[of.experiment.name for of in seeds.values()] for seeds in groups]
    called = list(map(common_name, names))
    if len(set(zip(called, map(len, names), strict=True))) < len(called):
        called = [first for first, *_ in names]  # s0_slow and s1_slow share no more than s0_fast
    return list(map(_contender, called, groups))


def _contender(name: str, seeds: dict[int | None, Scored]) -> Contender:
    members = list(seeds.values())
    bound = bool(members[0].about.get("needs_sources"))
    if len(members) == 1:
        return Contender(name, seeds, members[0].scores, bound)
    scores = members[0].scores.copy()
    columns = set.intersection(*({*score_table.metric_columns(of.scores)} for of in members))
    for column in columns:
        values = [of.scores[column].reindex(scores.index) for of in members]
        scores[column] = np.mean(values, axis=0)
    return Contender(f"{name}, {len(members)} seeds", seeds, scores, bound)


def common_name(names: list[str]) -> str:
    """What names of experiments share, up to their tags."""
    parts = [name.split("_") for name in names]
    shared = []
    for words in zip(*parts, strict=False):
        if len(set(words)) > 1:
            break
        shared.append(words[0])
    return "_".join(shared) or names[0]


def shared_metrics(contenders: list[Contender]) -> list[str]:
    """The metrics that all were scored in, in the order of ``metrics.METRICS``."""
    columns = [score_table.metrics(score_table.metric_columns(of.scores)) for of in contenders]
    shared = functools.reduce(lambda a, b: a & b, map(set, columns))
    return [name for name in metrics.METRICS if name in shared]


def scores_of(contenders: list[Contender], source: str, column: str) -> pandas.DataFrame:
    """Scores of one source in one column: (example, contender); NaN where there are none."""
    return pandas.DataFrame({
        of.name: of.scores.xs(source, level="source").get(column, np.nan) for of in contenders
    })  # fmt: skip


def mixture_scores(contenders: list[Contender], source: str, metric: str) -> pandas.Series:
    """Scores of the unprocessed mixtures, the same for all, by example."""
    return contenders[0].scores.xs(source, level="source")[metric + MIXTURE]

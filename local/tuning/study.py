"""Optuna's study of a search: where it is kept, what it has done, what comes next.

The study stands in Optuna's storage: an SQLite file, or any database of Optuna's for several
machines, each of which runs the same command. A trial names the process that runs it: what a
process of this machine left behind when it ended is taken up again, and so is what failed.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import optuna
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from local.base import processes
from local.base.errors import UserError
from local.training import pruning
from local.tuning import space as spaces
from local.tuning.space import Dimension, Space

SAMPLERS = ("tpe", "random", "grid")
ASKED, OWNER, REASON = "asked", "owner", "reason"
DOUBLE = "double"  # what a trial is told that another process had queued too
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Limits(NamedTuple):
    """When a search ends: at so many trials, or so many hours of them; None: no such limit."""

    trials: int | None
    hours: float | None


class Search:
    """A study, and what it may still do.

    Args:
        space: what is varied.
        url: of Optuna's storage.
        name: of the study in it.
        asked: what its trials have in common, plain types; a study with other values is another.
        sampler: one of SAMPLERS.
        pruner: one of ``pruning.PRUNERS``.
        seed: of the sampler.

    Raises:
        UserError: a storage that cannot be used, or that holds a study of this name that was
            asked for otherwise; a grid that there cannot be.
    """

    def __init__(
        self, space: Space, url: str, name: str, asked: dict, sampler: str, pruner: str, seed: int
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.url, self.seed = space, url, seed
        self.sampler, self.pruner = sampler, pruner
        self.grid = spaces.grid(space) if sampler == "grid" else None
        self.distributions = {of.name: distribution(of) for of in space.dimensions}
        try:
            with faults(url):
                self.study = optuna.create_study(
                    storage=url, study_name=name, direction="maximize", load_if_exists=True,
                    pruner=pruning.make_pruner(pruner),
                )  # fmt: skip
        except ImportError as error:  # of the database's own package
            raise UserError(f"--storage {shown(url)}: {error}") from None
        before = self.study.user_attrs.setdefault(ASKED, asked)
        if before != asked:
            key = next(key for key in asked if before.get(key) != asked[key])
            raise UserError(f"the search {name} was made with other {key}: {before.get(key)}, not"
                            f" {asked[key]}; give a new --tag")  # fmt: skip
        self.study.set_user_attr(ASKED, asked)
        self._take_up()

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """One of each attempt: those that were repeated are left out."""
        found = [of for of in self.study.get_trials(deepcopy=False) if DOUBLE not in of.user_attrs]
        last = {key(trial): trial.number for trial in found}
        return [trial for trial in found if trial.state is not TrialState.FAIL
                or last[key(trial)] == trial.number]  # fmt: skip

    def _take_up(self) -> None:
        """Queue again what ended without a result, and what of a grid was never queued."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            machine, pid, since = trial.user_attrs.get(OWNER, ("", 0, ""))
            if machine == processes.machine() and not processes.runs(pid, since):
                self.study.tell(trial.number, state=TrialState.FAIL)
        trials = self.trials
        again = [trial.params for trial in trials if trial.state is TrialState.FAIL]
        known = {key(trial) for trial in trials}
        again += [values for values in self.grid or () if _key(values) not in known]
        for values in again:
            self.study.enqueue_trial(values)

    def next(self, limits: Limits) -> optuna.Trial | None:
        """The next trial, as running; None: the search has come to its end."""
        while True:
            trials = self.trials
            waiting = [trial for trial in trials if trial.state is TrialState.WAITING]
            tried = {key(trial) for trial in trials if trial.state is not TrialState.WAITING}
            over = len(tried) >= self.space.size  # what is drawn more often has its result
            over |= limits.trials is not None and len(trials) - len(waiting) >= limits.trials
            if limits.hours is not None:
                spent = [trial.duration for trial in self.study.get_trials(deepcopy=False)
                         if trial.state in ENDED and trial.duration]  # fmt: skip
                over |= sum(time.total_seconds() for time in spent) >= 3600 * limits.hours
            if over or (self.grid is not None and not waiting):
                return None
            # seeded for each trial: what is continued draws what would have come next
            seed = (self.seed, len(trials) - len(waiting))
            self.study.sampler = make_sampler(self.sampler, hash(seed) % 2**32)
            trial = self.study.ask(self.distributions)
            owner = processes.machine(), os.getpid(), processes.started(os.getpid())
            trial.set_user_attr(OWNER, owner)
            if self.grid is None or self.twin(trial) is None:
                return trial
            # two processes that began at once have both queued all of it
            trial.set_user_attr(DOUBLE, True)
            self.study.tell(trial, state=TrialState.FAIL)

    def environment(self, trial: optuna.Trial, sources: tuple[str, ...]) -> dict[str, str]:
        """What stage 1 of a trial is told, so that it can be ended early; see ``pruning.told``."""
        if self.pruner == "none":
            return {}
        name, number = self.study.study_name, trial._trial_id
        return pruning.told(self.url, name, number, sources, self.pruner)

    def twin(self, trial: optuna.Trial) -> optuna.trial.FrozenTrial | None:
        """An earlier trial of the same values that has a result or runs."""
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        found = self.study.get_trials(deepcopy=False, states=states)
        return next((other for other in found if other.number < trial.number
                     and key(other) == _key(trial.params)), None)  # fmt: skip

    def tell(self, trial: optuna.Trial, value: float) -> None:
        """A trial's result, dB."""
        self.study.tell(trial, value)

    def fail(self, trial: optuna.Trial, reason: str) -> None:
        """A trial has no result; the same command tries it again."""
        trial.set_user_attr(REASON, reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def refuse(self, trial: optuna.Trial, reason: str) -> None:
        """A recipe does not take a trial's settings: the sampler learns it, nothing is repeated."""
        trial.set_user_attr(REASON, reason)
        self.study.tell(trial, state=TrialState.PRUNED)

    def pruned_at(self, trial: optuna.Trial) -> int | None:
        """The part of its training after which a trial was ended early, told to the study.

        None: it was not.
        """
        step = self.study.trials[trial.number].user_attrs.get(pruning.PRUNED)
        if step is not None:
            self.study.tell(trial, state=TrialState.PRUNED)
        return step

    def repeat(self, trial: optuna.Trial, twin: optuna.trial.FrozenTrial) -> str:
        """Give a trial the result of another with the same values; in a few words.

        Raises:
            UserError: that one still runs.
        """
        if twin.state is TrialState.RUNNING:
            raise UserError(f"trial {twin.number}, which runs, has the same settings")
        for name, value in twin.user_attrs.items():
            if name != OWNER:
                trial.set_user_attr(name, value)
        for step, value in twin.intermediate_values.items():
            trial.report(value, step)
        # Optuna gives a trial that was ended early its last report as value, and takes none back
        value = twin.value if twin.state is TrialState.COMPLETE else None
        self.study.tell(trial, value, state=twin.state)
        return f"as trial {twin.number}, which has the same settings"

    def count(self) -> str:
        """How many trials have ended, and of how many, where that is known."""
        trials = self.trials
        ended = sum(trial.state in ENDED for trial in trials)
        return str(ended) + (f"/{len(self.grid)}" if self.grid is not None else "")


def distribution(of: Dimension) -> optuna.distributions.BaseDistribution:
    """Optuna's of a dimension."""
    if of.choices is not None:
        return CategoricalDistribution(of.choices)
    kind = FloatDistribution if isinstance(of.low, float) else IntDistribution
    return kind(of.low, of.high, log=of.log)


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's of a name, one of SAMPLERS; all trials of a grid are queued, and none is drawn."""
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def key(trial: optuna.trial.FrozenTrial) -> tuple:
    """What is the same for trials of the same values."""
    return _key(trial.params or trial.system_attrs.get("fixed_params", {}))


def _key(values: dict) -> tuple:
    return tuple(sorted(values.items()))


@contextlib.contextmanager
def faults(url: str) -> Iterator[None]:
    """Make one line of what a storage refuses.

    Raises:
        UserError: so it did.
    """
    try:
        yield
    except (optuna.exceptions.OptunaError, sqlalchemy.exc.SQLAlchemyError) as error:
        first = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"--storage {shown(url)}: {first}") from error


def shown(url: str) -> str:
    """A storage's URL without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def shown_word(word: str) -> str:
    """A word of a command line, with no password of a storage in it."""
    option, equals, url = word.partition("=")
    if option == "--storage" and equals:
        return f"{option}={shown(url)}"
    return shown(word) if "://" in word else word

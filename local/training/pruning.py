"""A training that is a trial of a search tells its validation, and ends if others were better.

The search runs stage 1 as a process of its own and says in the environment which trial it is;
processes of a distributed training hear it too. Optuna's storage is all that they share.
"""

import json
import os

import pytorch_lightning as pl

from local.base.errors import UserError

VARIABLE = "WINNOW_TRIAL"
STEPS = 10  # parts of a training after which it is judged
WARMUP = 2  # of them, after which small steps still look worse than they are
PRUNERS = ("median", "hyperband", "none")
PRUNED = "pruned"  # what a trial is told that was ended so


def make_pruner(name: str):
    """Optuna's pruner of a name, one of PRUNERS, for values at 1 to STEPS."""
    from optuna import pruners

    if name == "median":  # of the best values so far, once five trials have ended
        return pruners.MedianPruner(n_warmup_steps=WARMUP)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=STEPS)
    return pruners.NopPruner()


def told(storage: str, study: str, trial: int, sources: tuple[str, ...], pruner: str) -> dict:
    """The environment for stage 1 of a trial.

    Args:
        storage: Optuna's URL.
        study: its name.
        trial: the trial's id in the storage.
        sources: whose validation SI-SDR counts; of several the mean.
        pruner: one of PRUNERS.
    """
    words = {"storage": storage, "study": study, "trial": trial, "sources": sources}
    return {VARIABLE: json.dumps(words | {"pruner": pruner})}


def callbacks() -> list[pl.callbacks.Callback]:
    """Lightning's callback of a trial that may be ended early; none in any other training."""
    if VARIABLE not in os.environ:
        return []
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    words = json.loads(os.environ[VARIABLE])
    study = optuna.load_study(
        study_name=words["study"], storage=words["storage"],
        sampler=optuna.samplers.RandomSampler(), pruner=make_pruner(words["pruner"]),
    )  # fmt: skip
    return [Pruning(optuna.trial.Trial(study, words["trial"]), words["sources"])]


class Pruning(pl.callbacks.Callback):
    """Report validation SI-SDR of the sources at every tenth of a training; end it if told so.

    A tenth is one of the time or of the epochs, whichever is further, so that networks of any
    speed are compared at the same cost. (optuna-integration's callback counts epochs, and takes
    the package ``lightning`` alone, not ``pytorch_lightning``.)
    """

    def __init__(self, trial, sources: tuple[str, ...]):
        self.trial, self.sources, self.judged = trial, sources, 0

    def on_validation_end(self, trainer, system) -> None:
        """Once for each tenth, at its first validation.

        Raises:
            UserError: the pruner ends the trial; the state of the training is kept.
        """
        if trainer.sanity_checking:
            return
        step = min(STEPS, int(STEPS * system.progress(system.steps)))
        if step <= self.judged:
            return
        self.judged, ends = step, False
        if trainer.is_global_zero:
            found = [float(trainer.callback_metrics[f"val_si_sdr_{of}"]) for of in self.sources]
            value = sum(found) / len(found)
            if value == value:  # no mixture with a value says nothing
                self.trial.report(value, step)
                ends = step < STEPS and self.trial.should_prune()
            if ends:
                self.trial.set_user_attr(PRUNED, step)
        if trainer.strategy.broadcast(ends):
            raise UserError(f"ended after {step} of {STEPS} parts: other trials were better there")

"""A training as a trial of a search: what it reports, when it is ended, what is left."""

import sys

import optuna
import pytest
import toy_recipes
import triplet_trees

from local import train
from local.base import experiment
from local.base.errors import UserError
from local.training import pruning

RATE, EPOCHS = 8000, 20
SETTINGS = [
    "--data.sample_rate=8000", "--data.segment=0.25", "--data.batch_size=2", "--optim.lr=0.1",
    "--data.num_workers=0", "--trainer.accelerator=cpu", f"--trainer.max_epochs={EPOCHS}",
    "--mixture_consistency=none",
]  # fmt: skip
# the noise output ends as a mix of both: SI-SDR that moves with training
LEARNS = toy_recipes.PLAIN.replace(
    "return self.gains.unsqueeze(-1) * mix.unsqueeze(1)",
    "later = torch.nn.functional.pad(mix, (1, 0))[:, :-1]\n"
    "        return torch.stack([mix, self.gains[0] * mix + self.gains[1] * later], 1)",
)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study in SQLite, beside a working folder with the recipe ``toy`` and the data set ``d``."""
    monkeypatch.chdir(tmp_path)
    tree = triplet_trees.make_tree(tmp_path / "tree", {"train": 4, "valid": 2}, rate=RATE)
    triplet_trees.prepare(tree, "d", ("train", "valid"), RATE)
    toy_recipes.make_recipe(tmp_path, "toy", LEARNS)
    toy_recipes.use_root(monkeypatch, tmp_path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage="sqlite:///x.db", study_name="s", direction="maximize")


def run(monkeypatch, study, tag, sources=("voice", "noise"), pruner="median"):
    """Stage 1 as a new trial; the trial, still running."""
    trial = study.ask()
    told = pruning.told("sqlite:///x.db", "s", trial._trial_id, sources, pruner)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        sys, "argv", ["train", "--model=toy", "--name=d", f"--tag={tag}", *SETTINGS]
    )
    try:
        train.main()
    finally:
        found = study.trials[trial.number]
        study.tell(trial, found.last_step or 0.0)
    return study.trials[trial.number]


def test_a_trial_reports_at_each_tenth_and_is_ended_where_others_were_better(study, monkeypatch):
    monkeypatch.delenv(pruning.VARIABLE, raising=False)
    assert pruning.callbacks() == []
    whole = run(monkeypatch, study, "whole")
    assert list(whole.intermediate_values) == list(range(1, pruning.STEPS + 1))
    values = [*whole.intermediate_values.values()]
    of = experiment.Experiment(experiment.exp_dir("d", "toy", tag="whole"))
    found = of.facts["validation"]
    both = (found["val_si_sdr_voice"] + found["val_si_sdr_noise"]) / 2
    assert any(value == pytest.approx(both, abs=1e-3) for value in values)
    assert len(set(values)) > 1

    for _ in range(5):  # others that were better, from the third tenth on
        other = study.ask()
        for step in range(1, pruning.STEPS + 1):
            other.report(max(values) + (1.0 if step > 2 else -9.0), step)
        study.tell(other, 99.0)
    with pytest.raises(UserError, match="ended after 3 of 10 parts: other trials were better"):
        run(monkeypatch, study, "ended")
    ended = study.trials[-1]
    assert list(ended.intermediate_values) == [1, 2, 3]
    assert ended.user_attrs[pruning.PRUNED] == 3
    of = experiment.Experiment(experiment.exp_dir("d", "toy", tag="ended"))
    assert not of.model.exists()

    monkeypatch.delenv(pruning.VARIABLE)
    train.main()  # the same command, without a search, continues it
    assert of.facts["epochs"] == EPOCHS
    assert len(run(monkeypatch, study, "free", ("noise",), "none").intermediate_values) == 10


def test_pruners():
    kinds = [type(pruning.make_pruner(name)).__name__ for name in pruning.PRUNERS]
    assert kinds == ["MedianPruner", "HyperbandPruner", "NopPruner"]

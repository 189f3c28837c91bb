"""The moving average of weights: its value from algebra, what it is for, and that it goes on."""

import pytest
import small_trainings
import torch
import toy_recipes

from local.base import disk, experiment
from local.base.errors import UserError
from local.base.experiment import Experiment
from local.model import checkpoint
from local.training import average
from local.training.system import System

SETTINGS = small_trainings.SMALL | {
    "trainer.max_epochs": 3, "trainer.ema": 0.5, "trainer.checkpoint_steps": 1, "optim.lr": 0.1,
}  # fmt: skip


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A function that runs stage 1 of a toy, 3 steps an epoch; returns the experiment's folder."""
    small_trainings.prepare(tmp_path, monkeypatch)
    toy_recipes.make_recipe(tmp_path, "toy", toy_recipes.LOSS)
    toy_recipes.use_root(monkeypatch, tmp_path)

    def run(tag, changes=None):
        settings = SETTINGS | (changes or {})
        small_trainings.run(monkeypatch, "--model=toy", f"--tag={tag}", changes=settings)
        return experiment.exp_dir("d", "toy", None, tag)

    return run


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_it_is_the_weighted_mean_of_all_steps(decay):
    model = torch.nn.BatchNorm1d(2)
    mean = average.exponential(model, decay)
    values = [3.0, -1.0, 4.0, 1.5]
    for value in values:
        model.weight.data.fill_(value)
        model.running_mean.fill_(2 * value)
        model.num_batches_tracked += 1
        mean.update_parameters(model)
    weights = [decay ** (len(values) - 1 - k) for k in range(len(values))]
    expected = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    torch.testing.assert_close(mean.module.weight, torch.full((2,), expected))
    torch.testing.assert_close(mean.module.running_mean, torch.full((2,), 2 * expected))
    assert mean.module.num_batches_tracked == len(values)
    assert not any(p.requires_grad for p in mean.parameters())
    assert model.weight.requires_grad


def test_the_average_is_validated_and_saved(stage, monkeypatch):
    seen = []
    step = System.on_train_batch_end
    monkeypatch.setattr(
        System, "on_train_batch_end",
        lambda system, *args: (seen.append(system.model.network.gains.detach().clone()),
                               step(system, *args)),
    )  # fmt: skip
    folder = stage("mean")
    weights = [0.5 ** (len(seen) - 1 - k) for k in range(len(seen))]
    expected = sum(w * v for w, v in zip(weights, seen, strict=True)) / sum(weights)
    package = checkpoint.read(folder / "best_model.pth")
    torch.testing.assert_close(package["state_dict"]["gains"], expected)
    assert package["state_dict"].keys() == {"gains"}
    validated = disk.read_yaml(folder / "provenance.yml")["validation"]["val_loss"]
    assert validated == pytest.approx(float((expected - 2).square().sum()), abs=1e-3)


def test_cut_off_and_continued_equals_uninterrupted(stage, monkeypatch):
    class Cut(Exception):
        pass

    def cut(system, *args):
        if system.global_step == 4:
            raise Cut

    whole = stage("whole")
    with monkeypatch.context() as patch:
        patch.setattr(System, "on_before_zero_grad", cut)
        with pytest.raises(Cut):
            stage("parts")
    parts = stage("parts")
    states = [torch.load(Experiment(folder).last, weights_only=True)["state_dict"]
              for folder in (whole, parts)]  # fmt: skip
    assert states[0].keys() == states[1].keys() > {"average.n_averaged"}
    assert all(states[0][key].equal(states[1][key]) for key in states[0])
    gains = [checkpoint.read(folder / "best_model.pth")["state_dict"]["gains"]
             for folder in (whole, parts)]  # fmt: skip
    assert gains[0].equal(gains[1])


def test_it_is_part_of_the_settings(stage):
    stage("mean")
    with pytest.raises(UserError, match=r"trainer.ema 0.5 -> None"):
        stage("mean", {"trainer.ema": "null"})
    with pytest.raises(UserError, match=r"trainer.ema expects 0.0 to 0.9999, found 1.0"):
        stage("other", {"trainer.ema": "1.0"})

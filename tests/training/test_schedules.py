"""The schedule over a whole run: its shape, and that the clock moves it."""

import math

import pytest
import small_trainings
import torch

from local.training.schedules import CosineOverRun


def rates(progress, **arguments):
    """The learning rate at each place of a run, with a highest rate of 2."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = CosineOverRun(optimizer, **arguments)
    found = []
    for place in progress:
        optimizer.step()
        scheduler.step(place)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_a_line_up_and_half_a_cosine_down():
    found = rates([0.05, 0.1, 0.55, 1.0], warmup=0.1, floor=0.2)
    assert found == pytest.approx([1.0, 2.0, 2 * (0.2 + 0.8 / 2), 2 * 0.2])


def test_places_beyond_the_run_are_its_ends():
    assert rates([1.7], floor=0.5) == pytest.approx([1.0])
    assert rates([-1.0], warmup=0.0) == pytest.approx([2.0])


def test_the_first_step_moves_the_weights():
    assert 0 < rates([0.0], warmup=0.1)[0] < 0.1


def test_its_state_brings_it_back():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = CosineOverRun(optimizer, warmup=0.0, floor=0.0)
    optimizer.step()
    scheduler.step(0.25)
    again = CosineOverRun(optimizer, warmup=0.0, floor=0.0)
    again.load_state_dict(scheduler.state_dict())
    assert again.progress == 0.25
    assert again.get_lr() == pytest.approx([(1 + math.cos(math.pi / 4)) / 2])


@pytest.mark.parametrize("arguments", [{"warmup": 1.0}, {"warmup": -0.1}, {"floor": 1.1}])
def test_shares_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="warmup expects"):
        rates([0.0], **arguments)


def test_the_step_of_batches_left_over_counts(tmp_path, monkeypatch):
    small_trainings.prepare(tmp_path, monkeypatch)
    settings = small_trainings.NARROW | {  # 3 batches: a step of two and one of the last
        "trainer.accumulate": 2, "scheduler.name": "OneCycleLR", "scheduler.interval": "step",
        "scheduler.arguments": "{max_lr: 1.0e-3, epochs: 2}",
    }  # fmt: skip
    small_trainings.run(monkeypatch, "--model", "convtasnet", changes=settings)
    state = torch.load("exp/d/convtasnet/checkpoints/last.ckpt", weights_only=True)
    assert state["winnow"]["scheduler"]["last_epoch"] == state["global_step"] == 4

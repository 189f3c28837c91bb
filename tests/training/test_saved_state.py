"""The state of a training that is damaged: a line that says what to do, and nothing is lost."""

import pytest
import small_trainings
import torch
import toy_recipes

from local.base.errors import UserError
from local.base.experiment import Experiment


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A training of one epoch, and a function that goes on to the second."""
    small_trainings.prepare(tmp_path, monkeypatch, 4)
    toy_recipes.make_recipe(tmp_path, "toy", toy_recipes.PLAIN)
    toy_recipes.use_root(monkeypatch, tmp_path)

    def go_on(epochs=2, *more):
        changes = small_trainings.SMALL | {"trainer.max_epochs": epochs}
        small_trainings.run(monkeypatch, "--model=toy", *more, changes=changes)

    go_on(1)
    return Experiment(tmp_path / "exp" / "d" / "toy").last, go_on


def without(key):
    def change(path):
        state = torch.load(path, weights_only=True)
        del state[key]
        torch.save(state, path)

    return change


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_network(path):
    state = torch.load(path, weights_only=True)
    state["state_dict"] = {key: torch.zeros(7) for key in state["state_dict"]}
    torch.save(state, path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.write_bytes(b""), "damaged"),
        (half, "damaged"),
        (lambda path: path.write_text("not a checkpoint"), "damaged"),
        (lambda path: torch.save([1], path), "not the state of a training"),
        (lambda path: torch.save({}, path), "not the state of a training"),
        (without("winnow"), "not the state of a training"),
        (without("loops"), "not the state of a training"),
        (another_network, "of another network"),
    ],
    ids=["empty", "cut", "text", "list", "nothing", "winnow", "loops", "network"],
)
def test_a_damaged_state_is_named_and_kept(begun, change, words):
    path, go_on = begun
    change(path)
    damaged = path.read_bytes()
    with pytest.raises(UserError) as caught:
        go_on()
    assert f"last.ckpt: {words}" in str(caught.value)
    assert "no earlier one" in str(caught.value)
    assert "--restart" in str(caught.value)
    assert path.read_bytes() == damaged
    go_on(2, "--restart")
    assert torch.load(path, weights_only=True)["epoch"] == 1

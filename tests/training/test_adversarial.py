"""Training against an adversary: turns, resumption, what is kept, and every refusal."""

import pandas
import pytest
import small_trainings
import torch

from local.base.errors import UserError
from local.model import checkpoint

SMALL = small_trainings.SMALL | {
    "data.segment": 0.256, "trainer.max_epochs": 4,
    "model.features": "[4,4,8]", "model.window": 1024, "model.references": 2,
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The experiments of a prepared data set."""
    small_trainings.prepare(tmp_path, monkeypatch)
    return tmp_path / "exp" / "d"


def stage(monkeypatch, tag, **changes):
    """Train SEGAN."""
    keys = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    small_trainings.run(monkeypatch, "--model", "segan", "--tag", tag, changes=keys)


def state(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_continued_equals_uninterrupted(place, monkeypatch):
    more = {"trainer__ema": 0.9, "scheduler__name": "ExponentialLR",
            "scheduler__arguments": "{gamma: 0.5}"}  # fmt: skip
    stage(monkeypatch, "whole", **more)
    stage(monkeypatch, "parts", trainer__max_epochs=2, **more)
    stage(monkeypatch, "parts", trainer__max_epochs=4, **more)
    one, two = (state(place / f"segan_{tag}") for tag in ("whole", "parts"))
    assert any(key.startswith("adversary.") for key in one["state_dict"])
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(one[key], two[key], rtol=0, atol=0)
    assert one["winnow"]["best"]["loss"] == two["winnow"]["best"]["loss"]


def test_both_learn_both_are_logged_and_one_is_kept(place, monkeypatch):
    stage(monkeypatch, "a")
    folder = place / "segan_a"
    logged = pandas.read_csv(folder / "logs" / "version_0" / "metrics.csv")
    assert logged[["loss", "loss_adversary", "loss_deceit", "loss_l1"]].notna().any().all()
    kept = checkpoint.read(folder / "best_model.pth")
    assert not any("adversary" in key or "reference" in key for key in kept["state_dict"])
    facts = kept["winnow"]["provenance"]
    assert facts["steps"] == 4 * 3  # epochs of 6 mixtures in batches of 2
    assert facts["audio_seconds_seen"] == pytest.approx(4 * 6 * 0.256, abs=0.05)
    first, second = state(folder)["optimizer_states"]
    assert {len(of["state"]) for of in (first, second)} == {19, 16}  # each its own


def test_each_turn_moves_one_of_the_two_at_one_rate(place, monkeypatch):
    from local.training import adversarial

    moved, rates = [], []

    class Watched(adversarial.AdversarialSystem):
        def _descend(self, optimizer, loss, name):
            def both():
                parts = self.model.network, self.adversary
                return [torch.cat([p.detach().flatten() for p in x.parameters()]) for x in parts]

            before = both()
            rates.append(optimizer.param_groups[0]["lr"])
            super()._descend(optimizer, loss, name)
            moved.append([not torch.equal(a, b) for a, b in zip(before, both(), strict=True)])

    monkeypatch.setattr(adversarial, "AdversarialSystem", Watched)
    stage(monkeypatch, "b", trainer__max_epochs=2, scheduler__name="ExponentialLR",
          scheduler__arguments="{gamma: 0.5}", scheduler__interval="epoch")  # fmt: skip
    assert moved == [[False, True], [True, False]] * 6
    assert rates == [rates[0]] * 6 + [rates[0] / 2] * 6


def test_an_adversary_that_knows_everything_is_said_to(place, monkeypatch, capsys):
    from recipes.segan import model

    stage(monkeypatch, "c", trainer__max_epochs=1)
    assert "adversary's loss is 0" not in capsys.readouterr().err

    def knows(self, mix, sources, adversary):
        return 0.0 * sum(p.sum() for p in adversary.parameters())

    monkeypatch.setattr(model.Segan, "adversary_loss", knows)
    stage(monkeypatch, "d", trainer__max_epochs=1)
    assert "note: epoch 0: the adversary's loss is 0" in capsys.readouterr().err


def test_several_batches_to_a_step_are_refused(place, monkeypatch):
    with pytest.raises(UserError, match=r"trainer\.accumulate 2: .*data\.batch_size"):
        stage(monkeypatch, "e", trainer__accumulate=2)

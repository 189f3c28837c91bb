"""Models by name, folder and file."""

from pathlib import Path

import pytest
import torch
import toy_recipes

from local.base.errors import UserError
from local.model import checkpoint, pretrained, separators

NOTHING_TO_LEARN = toy_recipes.FIT.split("    def fit")[0] + (
    "    def get_model_args(self):\n        return self.arguments\n"
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout with five recipes, of which only `shipped` has weights; the current directory."""
    for name, source in (("shipped", toy_recipes.PLAIN), ("plain", toy_recipes.PLAIN),
                         ("fitted", toy_recipes.FIT), ("oracle", toy_recipes.ORACLE),
                         ("nothing", NOTHING_TO_LEARN)):  # fmt: skip
        toy_recipes.make_recipe(tmp_path, name, source)
    toy_recipes.use_root(monkeypatch, tmp_path)
    monkeypatch.setattr(pretrained, "ROOT", tmp_path)
    (tmp_path / "recipes" / "shipped.yml").write_text("default: shipped\n")
    save(tmp_path / "recipes/shipped/pretrained/all.pth", "shipped", 0.25)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path, recipe, gain=0.5, half=False):
    separator = separators.build(recipe, gain=gain)
    checkpoint.save(path, separator, {})
    if half:
        package = torch.load(path, weights_only=True)
        package["state_dict"] = {key: value.half() for key, value in package["state_dict"].items()}
        torch.save(package, path)


def gain(separator):
    """What tells one toy from another."""
    return separator.network(torch.ones(1, 100))[0, 0, 0].item()


def test_shipped_weights_by_name_and_by_default(root):
    for separator in (pretrained.open_model("shipped"), pretrained.open_model()):
        assert gain(separator) == 0.25
        assert not separator.training
        assert separator.infos["file"] == str(root / "recipes/shipped/pretrained/all.pth")


def test_an_experiment_by_its_folder_or_file(root):
    save(Path("exp/data/plain/best_model.pth"), "plain", 0.125)
    for model in ("exp/data/plain", "exp/data/plain/best_model.pth", Path("exp/data/plain")):
        assert gain(pretrained.open_model(model)) == 0.125
    assert pretrained.open_model("exp/data/plain").infos["file"].endswith("plain/best_model.pth")


def test_weights_may_be_half_as_wide(root):
    save(Path("half.pth"), "plain", 0.1, half=True)
    separator = pretrained.open_model("half.pth")
    assert {p.dtype for p in separator.parameters()} == {torch.float32}
    assert gain(separator) == pytest.approx(0.1, rel=2**-11)


def test_what_has_nothing_to_learn_is_built(root):
    separator = pretrained.open_model("nothing")
    assert gain(separator) == 0.5
    assert separator.infos["file"] == "built from its settings"


def test_a_recipe_goes_before_a_folder_of_its_name(root):
    save(Path("shipped/best_model.pth"), "plain", 0.75)
    assert gain(pretrained.open_model("shipped")) == 0.25
    assert gain(pretrained.open_model("./shipped")) == 0.75


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("plain", r"plain has no weights here: train it \(./run.sh --model plain\)"),
        ("fitted", "fitted has no weights here"),
        ("oracle", "oracle is an oracle: it needs the references"),
        ("shiped", "unknown model 'shiped'; did you mean 'shipped'"),
        ("exp/none", "unknown model 'exp/none'"),
        ("none.pth", "none.pth: no such model file"),
        ("empty", "empty: expected the folder of an experiment, found no best_model.pth"),
        ("text.pth", "text.pth: not a model file of winnow, or damaged"),
        ("several", r"several has several weights; .*one.pth, .*two.pth"),
    ],
)
def test_faults(model, expected, root):
    Path("empty").mkdir()
    Path("text.pth").write_text("not a model")
    toy_recipes.make_recipe(root, "several", toy_recipes.PLAIN)
    for name in ("one", "two"):
        save(root / f"recipes/several/pretrained/{name}.pth", "several")
    with pytest.raises(UserError, match=expected):
        pretrained.open_model(model)


def test_a_trained_oracle_is_refused_too(root):
    save(Path("oracle.pth"), "oracle")
    with pytest.raises(UserError, match="oracle is an oracle"):
        pretrained.open_model("oracle.pth")


def test_no_default(root):
    (root / "recipes" / "shipped.yml").write_text("live: shipped\n")
    assert pretrained.default("live") == "shipped"
    with pytest.raises(UserError, match=r"names no recipe for 'default'; choose one with --model"):
        pretrained.open_model()


def test_every_default_is_a_recipe():
    from local.base import config

    for use in ("default", "live"):
        assert pretrained.default(use) in config.recipes()

"""Several models as one: the mean of their estimates, at one rate, whole and in windows."""

import subprocess
import sys

import pytest
import torch
import toy_recipes
from conftest import ROOT

from local.base.errors import UserError
from local.model import checkpoint, pretrained, separators
from local.separate import separate

RATE = 8000


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout whose recipe `toy` ships a gain of 0.25, and model files with others."""
    changes = {"mixture_consistency": "none", "data.sample_rate": RATE}
    for name in ("toy", "other"):
        toy_recipes.make_recipe(tmp_path, name, toy_recipes.PLAIN, changes)
    toy_recipes.use_root(monkeypatch, tmp_path)
    monkeypatch.setattr(pretrained, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    for path, recipe, gain in (
        ("recipes/toy/pretrained/all.pth", "toy", 0.25),
        ("recipes/other/pretrained/all.pth", "other", 1.0),
        ("a,b.pth", "toy", 0.75),
    ):
        checkpoint.save(path, separators.build(recipe, gain=gain), {})
    return tmp_path


def use(root, text):
    (root / "recipes" / "shipped.yml").write_text(f"default: {text}\n")


def gain(model) -> float:
    """What a toy makes of 1."""
    return model(torch.ones(1, 100))[0, 0, 0].item()


def test_the_mean_of_two(root):
    model = pretrained.open_model("toy,other")
    assert gain(model) == 0.625
    assert model.recipe == "toy + other"
    assert model.infos["file"].count("all.pth") == 2
    assert not model.training


@pytest.mark.parametrize(
    ("text", "expected"),
    [("toy", 0.25), ("[toy, other]", 0.625), ("{toy: 1, other: 2}", 0.75), ("{toy: 1}", 0.25)],
)
def test_what_ships_may_be_several_with_weights(root, text, expected):
    use(root, text)
    assert gain(pretrained.open_model()) == pytest.approx(expected)


def test_a_path_with_a_comma_is_one_file(root):
    assert gain(pretrained.open_model("a,b.pth")) == 0.75


def test_recordings_go_through_it_at_any_rate(root):
    """Longer than a window, and at a rate of its own: each of the members sees the same."""
    mix = 0.1 * torch.randn(60 * RATE, generator=torch.Generator().manual_seed(0))
    both = separate(mix, RATE, "toy,other")["voice"]
    torch.testing.assert_close(both, 0.625 * mix)
    # above the band, a share that follows the voice's is no mean of the members'
    above = {"above": "noise"}
    alone = [separate(mix[:RATE], 11025, name, **above)["voice"] for name in ("toy", "other")]
    both = separate(mix[:RATE], 11025, "toy,other", **above)["voice"]
    torch.testing.assert_close(both, sum(alone) / 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{toy: -1, other: 2}", "weights of several models: expected numbers from 0"),
        ("{toy: 0, other: 0}", "weights of several models"),
        ("{toy: much, other: 2}", "expects a recipe, a list of recipes, or recipes with a weight"),
        ("[]", "expects a recipe"),
        ("3", "expects a recipe"),
        ("[toy, othr]", "unknown model 'othr'; did you mean 'other'"),
    ],
)
def test_faults_of_what_ships(root, text, message):
    use(root, text)
    with pytest.raises(UserError, match=message):
        pretrained.open_model()


def test_one_rate(root):
    package = checkpoint.read("a,b.pth")
    package["winnow"]["sample_rate"] = 16000
    torch.save(package, "fast.pth")
    with pytest.raises(UserError, match="one sample rate, found toy 8000 Hz, toy 16000 Hz"):
        pretrained.open_model("toy,fast.pth")


@pytest.mark.parametrize(
    ("words", "what"),
    [(["export", "--format=onnx"], "export"), (["--stream"], "--stream")],
)
def test_what_takes_one_model_says_so(words, what):
    command = [sys.executable, "-m", "local.separate", *words, "--model=blstm_complex,lstm_complex"]
    process = subprocess.run(command, cwd=ROOT, input=b"", capture_output=True)
    assert process.returncode == 2
    expected = f"{what} takes one model, found blstm_complex, lstm_complex; choose with --model"
    assert process.stderr.decode().strip() == f"winnow: {expected}"

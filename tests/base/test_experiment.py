"""Where things lie on disk, and what is said of where a result comes from."""

import contextlib
import importlib.metadata
import platform
import re
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest
import toy_recipes
import yaml

from local import ROOT
from local.base import disk, experiment
from local.base.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*argv):
    parser = ArgumentParser()
    experiment.add_arguments(parser)
    return parser.parse_args(["--model", "toy", *argv])


def trained(*folders):
    for folder in folders:
        path = Path("exp") / folder / "best_model.pth"
        path.parent.mkdir(parents=True)
        path.touch()


def prepared(*names):
    for name in names:
        (Path("data") / name).mkdir(parents=True)
        (Path("data") / name / "train.csv").touch()


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("preset", "tag", "name"),
    [
        (None, None, "toy"),
        ("small", None, "toy-small"),
        (None, "l1", "toy_l1"),
        ("small", "l1", "toy-small_l1"),
        (None, "lr3e-4+v1.2_ü", "toy_lr3e-4+v1.2_ü"),
    ],
)
def test_names_of_experiments(preset, tag, name):
    assert experiment.experiment_name("toy", preset, tag) == name
    assert experiment.exp_dir("d", "toy", preset, tag) == Path("exp/d") / name


@pytest.mark.parametrize("word", ["a/b", "..", ".a", "a b", "*", "a\n", "$(x)", "a;b"])
def test_words_that_are_no_part_of_a_name(word):
    for call, option in (
        (lambda: experiment.data_dir(word), "--name"),
        (lambda: experiment.exp_dir(word, "toy"), "--name"),
        (lambda: experiment.experiment_name(word), "--model"),
        (lambda: experiment.experiment_name("toy", word), "--preset"),
        (lambda: experiment.experiment_name("toy", None, word), "--tag"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert option in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.fixture
def recipes(here, monkeypatch):
    """Recipes of which one's name goes on where another's ends, and so do presets of the first."""
    for name in ("ant", "ant_bee", "ant-cat"):
        folder = toy_recipes.make_recipe(here, name, toy_recipes.PLAIN)
        text = (folder / "conf.yml").read_text(encoding="utf-8")
        (folder / "conf.yml").write_text(text + "  tiny_dog: {}\n", encoding="utf-8")
    toy_recipes.use_root(monkeypatch, here)


def test_no_two_experiments_share_a_folder(recipes):
    """Every recipe with every preset and tag, some of which are made of one another's names."""
    owner = {}
    words = ["bee", "cat", "dog", "bee_x", "bee-tiny", "dog_x", "tiny", "x", "bee-tiny_dog",
             "beehive"]  # fmt: skip
    for recipe in ("ant", "ant_bee", "ant-cat"):
        for preset in (None, "tiny", "small", "tiny_dog", "cat"):
            for tag in (None, *words):
                with contextlib.suppress(UserError):
                    name = experiment.experiment_name(recipe, preset, tag)
                    assert owner.setdefault(name, (recipe, preset, tag)) == (recipe, preset, tag)
    # those that nothing else could be are allowed
    for name, of in {
        "ant": ("ant", None, None), "ant_bee": ("ant_bee", None, None), "ant_x": ("ant", None, "x"),
        "ant-tiny_x": ("ant", "tiny", "x"), "ant-tiny_dog": ("ant", "tiny_dog", None),
        "ant-tiny_bee": ("ant", "tiny", "bee"), "ant_bee-tiny_x": ("ant_bee", "tiny", "x"),
        "ant_beehive": ("ant", None, "beehive"),
    }.items():  # fmt: skip
        assert owner[name] == of


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ant", None, "bee"), "--tag bee: ant_bee would be the folder of the recipe ant_bee"),
        (
            ("ant", None, "bee_x"),
            "--tag bee_x: ant_bee_x would be the folder of the recipe ant_bee",
        ),
        (("ant", None, "bee-tiny"), "ant_bee-tiny would be the folder of the recipe ant_bee"),
        (("ant", "cat", None), "--preset cat: ant-cat would be the folder of the recipe ant-cat"),
        (
            ("ant", "tiny", "dog"),
            "--tag dog: ant-tiny_dog would be the folder of the preset tiny_d",
        ),
    ],
)
def test_a_name_that_is_anothers_is_refused(recipes, words, said):
    with pytest.raises(UserError) as caught:
        experiment.experiment_name(*words)
    assert said in str(caught.value)


def test_no_recipe_has_the_name_of_a_folder_beside_the_experiments():
    for name in ("compare", "tune"):  # stage 4's and the searches'
        with pytest.raises(UserError, match="rename the recipe"):
            experiment.experiment_name(name)
        assert experiment.experiment_name(name, None, "x") == f"{name}_x"


# ---------------------------------------------------------------- finding an experiment


def test_the_one_experiment_that_fits():
    trained("d/toy", "e/toy-small", "e/toy_l1", "e/toys", "f/other")
    assert experiment.locate(options()) == Path("exp/d/toy")
    assert experiment.locate(options("--preset", "small")) == Path("exp/e/toy-small")
    assert experiment.locate(options("--tag", "l1", "--name", "e")) == Path("exp/e/toy_l1")


def test_several_experiments_that_fit():
    trained("d/toy", "e/toy")
    with pytest.raises(UserError, match=r"several data sets; add --name \(d, e\)"):
        experiment.locate(options())
    assert experiment.locate(options("--name", "e")) == Path("exp/e/toy")


def test_no_experiment_that_fits():
    trained("d/toy")
    (Path("exp") / "e" / "toy-small").mkdir(parents=True)  # begun, not trained
    for argv in (["--preset", "small"], ["--name", "e"], ["--tag", "x"]):
        with pytest.raises(UserError, match="stage 1 makes it"):
            experiment.locate(options(*argv))


def test_an_untrained_experiment_does_not_stand_in_the_way():
    trained("d/toy")
    (Path("exp") / "e" / "toy").mkdir(parents=True)
    assert experiment.locate(options()) == Path("exp/d/toy")


def test_the_data_set_to_train_on():
    prepared("d")
    assert experiment.locate_data(options()) == "d"
    prepared("e")
    assert experiment.locate_data(options("--name", "e")) == "e"
    with pytest.raises(UserError, match=r"add --name \(d, e\)"):
        experiment.locate_data(options())
    (Path("exp") / "e" / "toy").mkdir(parents=True)
    disk.write_yaml(Path("exp/e/toy/conf.yml"), {"seed": 0})
    (Path("exp") / "d" / "toy" / "scores").mkdir(parents=True)  # no training
    # begun on e: the same command continues it
    assert experiment.locate_data(options()) == "e"


def test_no_data_set_to_train_on():
    prepared("d")
    with pytest.raises(UserError, match=r"data/e/train.csv: not there; stage 0 makes it"):
        experiment.locate_data(options("--name", "e"))
    (Path("data") / "d" / "train.csv").unlink()
    with pytest.raises(UserError, match="stage 0 makes it"):
        experiment.locate_data(options())


# ---------------------------------------------------------------- provenance


def test_provenance_is_plain_and_complete(monkeypatch):
    argv = [str(ROOT / "local" / "train.py"), "--model", "toy", "--tag", "a b"]
    monkeypatch.setattr(sys, "argv", argv)
    found = experiment.provenance()
    assert yaml.safe_load(yaml.safe_dump(found)) == found
    assert found["command"] == ["python", "-m", "local.train", "--model", "toy", "--tag", "a b"]
    assert found["python"] == platform.python_version()
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])


def git(*argv, folder):
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", *name, *argv]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_commit(here, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(here.parent))
    monkeypatch.setattr(experiment, "ROOT", here)
    assert experiment._commit() == "unknown"
    git("init", folder=here)
    (here / "a").write_text("1")
    git("add", "a", folder=here)
    git("commit", "-m", "first", folder=here)
    git("tag", "-a", "v1", "-m", "v1", folder=here)
    clean = experiment._commit()
    assert re.fullmatch(r"[0-9a-f]{12}", clean)
    (here / "a").write_text("2")
    assert experiment._commit() == f"{clean}-dirty"
    monkeypatch.setenv("PATH", "")
    assert experiment._commit() == "unknown"


def test_an_experiment_knows_its_files_and_reads_each_once(tmp_path):
    folder = tmp_path / "exp" / "garden" / "toy_a"
    of = experiment.Experiment(folder)
    assert (of.name, of.data) == ("toy_a", "garden")
    place = folder / "scores" / "0123" / "scores.csv"
    assert of.scores("0123") == place
    assert of.scored_on() == []
    place.parent.mkdir(parents=True)
    place.touch()
    assert of.scored_on() == ["0123"]
    assert of.model == folder / "best_model.pth"
    assert of.last == folder / "checkpoints" / "last.ckpt"
    (folder / "conf.yml").write_text("seed: 3\n")
    (folder / "provenance.yml").write_text("recipe: 5\n")
    for _ in range(2):
        assert of.conf == {"seed": 3}
        (folder / "conf.yml").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"provenance\.yml: expected 'recipe' of type str"):
        _ = of.facts

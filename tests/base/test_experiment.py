"""Where things lie on disk, whole files only, and what is said of where a result comes from."""

import contextlib
import importlib.metadata
import os
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
from local.base import disk, experiment, processes
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


# ---------------------------------------------------------------- whole files only


def test_a_file_is_replaced_whole(here):
    path = here / "new" / "a.txt"
    with disk.replace(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with disk.replace(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file(here, error):
    path = here / "a.txt"
    path.write_text("one")

    def fail():
        with disk.replace(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "one"
    assert os.listdir(here) == ["a.txt"]


def test_a_folder_is_replaced_whole(here):
    path = here / "a"
    for content in ("one", "two"):
        with disk.replace(path) as temporary:
            temporary.mkdir()
            (temporary / content).touch()
        assert os.listdir(path) == [content]

    def fail():
        with disk.replace(path) as temporary:
            temporary.mkdir()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert os.listdir(here) == ["a"]
    assert os.listdir(path) == ["two"]


def test_a_fault_inside_a_folder_is_told_of_the_folder_to_be(here):
    def write():
        with disk.replace(here / "a") as folder:
            (folder / "b").mkdir(parents=True)
            (folder / "b").write_text("")

    with pytest.raises(OSError, match="Is a directory") as caught:
        write()
    assert caught.value.filename == str(here / "a" / "b")
    with pytest.raises(OSError, match="No space") as caught, disk.scratch(here / "c"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(here / "c")
    assert os.listdir(here) == ["c"]


def test_only_a_folder_takes_the_place_of_a_folder(here):
    (here / "a").mkdir()
    (here / "a" / "kept").touch()
    with pytest.raises(IsADirectoryError) as caught, disk.replace(here / "a") as temporary:
        temporary.write_text("one")
    assert caught.value.filename == str(here / "a")
    assert os.listdir(here / "a") == ["kept"]


def test_a_name_as_long_as_a_file_may_have_is_replaced(here):
    path = here / ("a" * 255)
    with disk.replace(path) as temporary:
        temporary.write_text("one")
    assert path.read_text() == "one"


def test_what_killed_runs_left_is_swept(here):
    """A process is killed while it writes a file and a folder; the next one clears up."""
    writing = (
        "import contextlib, os, pathlib, signal\n"
        "from local.base import disk\n"
        "with disk.replace('a') as file, disk.replace('b') as folder:\n"
        "    file.write_text('half')\n"
        "    folder.mkdir()\n"
        "    (folder / 'c').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", writing], env=environment, cwd=here, check=False)
    left = sorted(os.listdir(here))
    assert len(left) == 2

    running = f".{processes.machine()}-{os.getpid()}-{processes.started(os.getpid())}-99.tmp"
    elsewhere = re.sub(r"\.\w{8}", ".00000000", left[0])
    for name in (running, elsewhere, ".mine.tmp"):
        (here / name).touch()
    with disk.replace(here / "a") as temporary:
        temporary.write_text("whole")
    assert sorted(os.listdir(here)) == sorted(["a", running, elsewhere, ".mine.tmp"])


def test_yaml_round_trip(here):
    tree = {"b": [1, 2.5, None], "a": {"ü": "00:01:00:00", "lr": 1e-5}, "c": True}
    disk.write_yaml(here / "a.yml", tree)
    found = disk.read_yaml(here / "a.yml")
    assert found == tree
    assert list(found) == list(tree)
    assert "ü" in (here / "a.yml").read_text(encoding="utf-8")


def test_yaml_takes_plain_types_only(here):
    with pytest.raises(yaml.YAMLError):
        disk.write_yaml(here / "a.yml", {"path": here})
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ": not there"),
        (b"a: [1", ", line 1: not YAML (expected"),
        (b"a: \xff", ": not YAML (not UTF-8"),
        (b"!!python/object/apply:os.getcwd []", ", line 1: not YAML (could not determine"),
        (b"", ": expected a mapping"),
        (b"[1]", ": expected a mapping"),
    ],
)
def test_a_file_that_is_no_yaml(here, content, words):
    path = here / "a.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        disk.read_yaml(path)
    assert str(caught.value).startswith(f"{path}{words}")


def test_what_must_be_in_a_file(here):
    disk.write_yaml(here / "a.yml", {"seed": "x"})
    assert disk.read_yaml(here / "a.yml", {"seed": str}) == {"seed": "x"}
    with pytest.raises(UserError, match=r"a\.yml: expected 'seed' of type int, found 'x'"):
        disk.read_yaml(here / "a.yml", {"seed": int})
    with pytest.raises(UserError, match=r"a\.yml: expected 'engine' of type str, found None"):
        disk.read_yaml(here / "a.yml", {"engine": str})


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

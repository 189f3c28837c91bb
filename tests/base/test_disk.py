"""Whole files only: what is written to disk replaces what was there, or leaves it."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from local import ROOT
from local.base import disk, processes
from local.base.errors import UserError


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
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
def test_a_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("one")

    def fail():
        with disk.replace(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "a"
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
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(path) == ["two"]


def test_a_fault_inside_a_folder_is_told_of_the_folder_to_be(tmp_path):
    def write():
        with disk.replace(tmp_path / "a") as folder:
            (folder / "b").mkdir(parents=True)
            (folder / "b").write_text("")

    with pytest.raises(OSError, match="Is a directory") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "a" / "b")
    with pytest.raises(OSError, match="No space") as caught, disk.scratch(tmp_path / "c"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "c")
    assert os.listdir(tmp_path) == ["c"]


def test_only_a_folder_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").touch()
    with pytest.raises(IsADirectoryError) as caught, disk.replace(tmp_path / "a") as temporary:
        temporary.write_text("one")
    assert caught.value.filename == str(tmp_path / "a")
    assert os.listdir(tmp_path / "a") == ["kept"]


def test_a_name_as_long_as_a_file_may_have_is_replaced(tmp_path):
    path = tmp_path / ("a" * 255)
    with disk.replace(path) as temporary:
        temporary.write_text("one")
    assert path.read_text() == "one"


def test_what_killed_runs_left_is_swept(tmp_path):
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
    subprocess.run([sys.executable, "-c", writing], env=environment, cwd=tmp_path, check=False)
    left = sorted(os.listdir(tmp_path))
    assert len(left) == 2

    running = f".{processes.machine()}-{os.getpid()}-{processes.started(os.getpid())}-99.tmp"
    elsewhere = re.sub(r"\.\w{8}", ".00000000", left[0])
    for name in (running, elsewhere, ".mine.tmp"):
        (tmp_path / name).touch()
    with disk.replace(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == sorted(["a", running, elsewhere, ".mine.tmp"])


def test_yaml_round_trip(tmp_path):
    tree = {"b": [1, 2.5, None], "a": {"ü": "00:01:00:00", "lr": 1e-5}, "c": True}
    disk.write_yaml(tmp_path / "a.yml", tree)
    found = disk.read_yaml(tmp_path / "a.yml")
    assert found == tree
    assert list(found) == list(tree)
    assert "ü" in (tmp_path / "a.yml").read_text(encoding="utf-8")


def test_yaml_takes_plain_types_only(tmp_path):
    with pytest.raises(yaml.YAMLError):
        disk.write_yaml(tmp_path / "a.yml", {"path": tmp_path})
    assert os.listdir(tmp_path) == []


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
def test_a_file_that_is_no_yaml(tmp_path, content, words):
    path = tmp_path / "a.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        disk.read_yaml(path)
    assert str(caught.value).startswith(f"{path}{words}")


def test_what_must_be_in_a_file(tmp_path):
    disk.write_yaml(tmp_path / "a.yml", {"seed": "x"})
    assert disk.read_yaml(tmp_path / "a.yml", {"seed": str}) == {"seed": "x"}
    with pytest.raises(UserError, match=r"a\.yml: expected 'seed' of type int, found 'x'"):
        disk.read_yaml(tmp_path / "a.yml", {"seed": int})
    with pytest.raises(UserError, match=r"a\.yml: expected 'engine' of type str, found None"):
        disk.read_yaml(tmp_path / "a.yml", {"engine": str})

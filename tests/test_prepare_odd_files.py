"""Stage 0 on what else may lie in a tree: other names, other files, sizes that nobody knew."""

import os
import shutil
from pathlib import Path

import numpy as np
import prepared_trees
import pytest
import soundfile
from prepared_trees import LENGTH, ids, run
from triplet_trees import make_folder, table, write

from local.base.errors import UserError
from local.corpus import manifest


@pytest.fixture(scope="module")
def faultless(tmp_path_factory):
    return prepared_trees.faultless(tmp_path_factory.mktemp("trees") / "tree")


@pytest.fixture
def tree(faultless, tmp_path, monkeypatch):
    """A copy of the faultless tree; the current directory is the one above."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(faultless, tmp_path / "tree")


def test_a_folder_that_is_no_number(tree, monkeypatch, capsys):
    (tree / "train" / "0007").rename(tree / "train" / "speech")
    run(monkeypatch, "--data", tree)
    (row,) = table("data/tree/rejected.csv")
    assert (row["folder"], row["reason"]) == ("speech", "folder that is no number")
    assert len(ids("train")) == 11
    assert "    train/speech: expected a number such as 0001" in capsys.readouterr().out


def test_a_wav_beside_the_folders_is_named(tree, monkeypatch):
    write(tree / "test" / "0001.wav", np.ones(10))
    run(monkeypatch, "--data", tree)
    (row,) = table("data/tree/rejected.csv")
    assert (row["split"], row["file"], row["reason"]) == ("test", "0001.wav", "extra wav file")
    assert len(ids("test")) == 3


def test_two_folders_of_one_number_are_one(tree, monkeypatch):
    make_folder(tree / "train" / "7", "0", seed=50)
    run(monkeypatch, "--data", tree)
    (row,) = table("data/tree/rejected.csv")
    assert (row["folder"], row["reason"]) == ("0007", "duplicate id")
    assert row["found"] == "7 and 0007"
    assert "7_0" in ids("train")
    assert len(ids("train")) == 12


def test_other_files_and_hidden_files_are_ignored(tree, monkeypatch, capsys):
    folder = tree / "train" / "0007"
    (folder / "notes.txt").write_text("loud")
    (folder / "._voice.wav").write_bytes(b"what another system leaves behind")
    (tree / "train" / "list.csv").write_text("a,b")
    (tree / "train" / ".cache").mkdir()
    (tree / "dev").mkdir()
    run(monkeypatch, "--data", tree)
    assert "not a split, ignored: dev\n" in capsys.readouterr().out
    assert table("data/tree/rejected.csv") == []
    assert len(ids("train")) == 12


def test_a_name_in_another_encoding_is_shown(tree, monkeypatch, capsys):
    (tree / "train" / "0007" / os.fsdecode(b"mix_\xff.wav")).write_bytes(b"x")
    run(monkeypatch, "--data", tree)
    (row,) = table("data/tree/rejected.csv")
    assert row["file"].startswith("mix_")
    assert row["reason"] == "name that cannot be read"
    capsys.readouterr().out.encode()


def rewrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0x80000000, 0x7FFFFF00, 0xFFFFFFFF, 2 * LENGTH + 44])
def test_a_size_that_nobody_knew_is_no_fault(size, tree, monkeypatch):
    rewrite(tree / "train" / "0007" / "voice.wav", 40, size.to_bytes(4, "little"))
    run(monkeypatch, "--data", tree)
    assert table("data/tree/rejected.csv") == []
    [row] = [row for row in table("data/tree/train.csv") if row["group"] == "0007"]
    assert row["num_samples"] == str(LENGTH)


def test_samples_behind_a_size_of_0_are_used_and_told(tree, monkeypatch, capsys):
    voice = tree / "train" / "0007" / "voice.wav"
    expected = soundfile.read(voice, dtype="float32")[0]
    rewrite(voice, 40, bytes(4))
    run(monkeypatch, "--data", tree)
    assert table("data/tree/rejected.csv") == []
    line = "1 files say that they hold no samples; what is there is used; the first: train/0007/"
    assert f"{line}voice.wav\n" in capsys.readouterr().out
    made = manifest.read("data/tree/train.csv")
    [i] = [i for i in range(len(made)) if made.row(i).group == "0007"]
    np.testing.assert_array_equal(made.sources(i)[0], expected)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to("nowhere"), "a link to nothing"),
        (lambda path: path.symlink_to(path.name), "a link that leads to itself"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
def test_what_is_neither_a_folder_nor_a_file(make, found, tree, monkeypatch):
    for name in ("0099", "x.wav", "notes"):
        make(tree / "train" / name)
    run(monkeypatch, "--data", tree)
    rows = table("data/tree/rejected.csv")
    assert [(row["file"], row["reason"], row["found"]) for row in rows] == [
        ("0099", "no regular file", found),
        ("x.wav", "no regular file", found),
    ]
    assert len(ids("train")) == 12


def test_groups_in_a_pipe_are_not_waited_for(tree, monkeypatch):
    os.mkfifo(tree / "train" / "groups.csv")
    with pytest.raises(UserError, match=r"groups.csv: expected a file, found a pipe"):
        run(monkeypatch, "--data", tree)


def test_0_db_has_no_sign(tree, monkeypatch, capsys):
    folder = tree / "train" / "0002"
    (folder / "mix_snr_0.wav").rename(folder / "mix_snr_-0.wav")
    run(monkeypatch, "--data", tree)
    [row] = [row for row in table("data/tree/train.csv") if row["group"] == "0002"]
    assert (row["id"], row["snr_db"]) == ("0002_-0", "0.0")
    assert "-0 dB" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "mix"), [("0" * 33, "mix_snr_0.wav"), ("0099", f"mix_snr_0.{'0' * 40}.wav")]
)
def test_names_too_long_for_what_is_made_of_them(folder, mix, tree, monkeypatch):
    """A page has files called after an example, and the system takes 255 bytes."""
    made = make_folder(tree / "train" / folder, "0", seed=99)
    (made / "mix_snr_0.wav").rename(made / mix)
    run(monkeypatch, "--data", tree)
    [row] = table("data/tree/rejected.csv")
    assert row["reason"] in ("folder that is no number", "name that cannot be read")
    assert len(ids("train")) == 12


@pytest.mark.parametrize("name", ["a" * 300, "é" * 65])
def test_a_name_that_is_too_long(name, tree, monkeypatch):
    with pytest.raises(UserError, match=r"--name .*expected at most 128 bytes, found (300|130)"):
        run(monkeypatch, "--data", tree, "--name", name)


def test_a_tree_in_a_folder_whose_name_is_not_utf_8(tree, monkeypatch, capsys):
    """The bytes of its path come back, from root.yml, and its samples can be read."""
    odd = Path(os.fsdecode(os.fsencode(tree.parent) + b"/caf\xe9"))
    odd.mkdir()
    moved = odd / "tree"
    tree.rename(moved)
    (moved / "train" / "0007" / os.fsdecode(b"\xe9.wav")).write_bytes(b"x")
    run(monkeypatch, "--data", moved)
    made = manifest.read("data/tree/train.csv")
    assert os.fsencode(made.root) == os.fsencode(odd) + b"/tree"
    assert made.mix(0).shape == (LENGTH,)
    [row] = table("data/tree/rejected.csv")
    assert row["file"] == r"\xe9.wav"
    capsys.readouterr().out.encode()
    with pytest.raises(UserError, match=r"--data 'caf\\xe9': letters.*; give another with --name"):
        run(monkeypatch, "--data", odd)

"""Stage 0: every fault by a file that has it, gains, order, the valid split, nothing lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import prepared_trees
import pytest
import soundfile
from faulty_triplets import FAULTS, MIX, add_residual, cut, sources, write_floats
from prepared_trees import LENGTH, ids, run
from triplet_trees import RATE, make_folder, snapshot, table

from local import ROOT, prepare
from local.base.errors import UserError
from local.corpus import findings, manifest
from local.corpus.manifest import Row
from local.corpus.sums import Fit


@pytest.fixture(scope="module")
def faultless(tmp_path_factory):
    return prepared_trees.faultless(tmp_path_factory.mktemp("trees") / "tree")


@pytest.fixture
def tree(faultless, tmp_path, monkeypatch):
    """A copy of the faultless tree; the current directory is the one above."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(faultless, tmp_path / "tree")


def test_every_fault_is_listed_and_printed(tree, monkeypatch, capsys):
    folders = {}
    for number, (case, (breaker, *_)) in enumerate(FAULTS.items(), 101):
        breaker(make_folder(tree / "train" / f"{number:04d}", "0", seed=number))
        folders[f"{number:04d}"] = case
    run(monkeypatch, "--data", tree, "--max-rejected", 100)
    assert len(ids("train")) == 12
    printed = capsys.readouterr().out
    rows = table("data/tree/rejected.csv")
    assert [row["folder"] for row in rows] == list(folders)
    for row in rows:
        _, file, reason, found = FAULTS[folders[row["folder"]]]
        assert (row["split"], row["file"], row["reason"]) == ("train", file, reason)
        assert found in row["found"]
        line = f"train/{row['folder']}/{file}: expected {row['expected']}, found {row['found']}"
        assert f"    {line}\n" in printed
        assert f"rejected, {reason}: " in printed


def examples(names):
    """Rows of folders that are groups of these names."""
    rows = [Row(n, 0, "m", "v", "n", RATE, 1, 1, 1, 0, n.rpartition(":")[0] or n) for n in names]
    return [(row, Fit(1, 1, 0, -200)) for row in rows]


def groups_of(examples):
    return {row.group for row, _ in examples}


def test_valid_is_a_tenth_and_stays():
    few = [f"{i:04d}" for i in range(1, 1001)]
    train, valid = prepare.hold_out(examples(few))
    assert 60 < len(valid) < 140
    assert groups_of(train) | groups_of(valid) == set(few)
    more = few + [f"{i:04d}" for i in range(1001, 2001)]
    train_of_more, valid_of_more = prepare.hold_out(examples(more))
    assert groups_of(valid) == groups_of(valid_of_more) & set(few)
    assert groups_of(train) == groups_of(train_of_more) & set(few)


def test_a_group_is_never_torn():
    train, valid = prepare.hold_out(examples([f"g{i % 40}:{i}" for i in range(400)]))
    assert groups_of(train).isdisjoint(groups_of(valid))
    assert len(groups_of(train) | groups_of(valid)) == 40
    assert len(train) + len(valid) == 400


@pytest.mark.parametrize("count", range(2, 8))
def test_neither_train_nor_valid_is_empty(count):
    train, valid = prepare.hold_out(examples([f"{i}" for i in range(count)]))
    assert train
    assert valid


def test_without_valid(tree, monkeypatch, capsys):
    shutil.rmtree(tree / "valid")
    run(monkeypatch, "--data", tree)
    assert len(ids("valid")) + len(ids("train")) == 12
    assert ids("valid")
    assert "valid (groups of train)" in capsys.readouterr().out
    assert all(row["voice"].startswith("train/") for row in table("data/tree/valid.csv"))


def test_one_group_cannot_be_split(tree, monkeypatch):
    shutil.rmtree(tree / "valid")
    lines = [f"{i},same" for i in range(1, 13)]
    (tree / "train" / "groups.csv").write_text("\n".join(["folder,group", *lines]))
    with pytest.raises(UserError, match=r"one group.*add valid/"):
        run(monkeypatch, "--data", tree)


def test_groups(tree, monkeypatch):
    text = "folder,label,group\n0001,x,street 1\n2,x,street 1\n0003,x,NA\n0999,x,gone\n"
    (tree / "train" / "groups.csv").write_text(text)
    run(monkeypatch, "--data", tree)
    groups = [manifest.read("data/tree/train.csv").row(i).group for i in range(4)]
    assert groups == ["street 1", "street 1", "NA", "0004"]
    assert manifest.read("data/tree/test.csv").row(0).group == "0001"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("folder,noise\n1,a\n", "columns folder and group, found folder, noise"),
        ("", "columns folder and group, found none$"),
        ("folder,group\n1,a\n0001,b\n", "line 3: expected one group for folder 0001"),
        ("folder,group\n1,\n", "line 2: expected one group"),
        ("folder,group\none,a\n", "expected a folder's number"),
        ("folder,group\n1\n", "line 2: expected one group"),
    ],
)
def test_faults_of_groups_are_one_line(text, match, tree, monkeypatch):
    (tree / "train" / "groups.csv").write_text(text)
    with pytest.raises(UserError, match=match):
        run(monkeypatch, "--data", tree)


def test_gains_are_used(tree, monkeypatch, capsys):
    folder = tree / "train" / "0007"
    voice, noise = (x / 32768 for x in sources(folder))
    write_floats(folder / MIX, 0.5 * voice + 0.5 * noise)
    run(monkeypatch, "--data", tree)
    train = manifest.read("data/tree/train.csv")
    assert train.row(6).noise_gain == 0.5
    np.testing.assert_allclose(train.sources(6), [0.5 * voice, 0.5 * noise], rtol=1e-5)
    printed = capsys.readouterr().out
    assert "1 mixtures hold voice or noise at another level" in printed
    assert "gains found and used: 0.5 to 0.5" in printed


@pytest.mark.parametrize(("residual", "counted"), [(-41, False), (-39, True)])
def test_fair_residuals_are_counted_in_a_warning(residual, counted, tree, monkeypatch, capsys):
    add_residual(tree / "train" / "0007", residual)
    run(monkeypatch, "--data", tree)
    assert len(ids("train")) == 12
    printed = capsys.readouterr().out
    assert ("warning: 1 mixtures differ from voice + noise by" in printed) == counted
    assert (f"train/0007/{MIX}, {residual:.1f} dB" in printed) == counted


def test_a_channel_is_taken_by_every_later_stage(tree, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    for path in tree.rglob("*.wav"):
        x, rate = soundfile.read(path, dtype="int16")
        other = rng.integers(-3000, 3000, len(x)).astype(np.int16)
        soundfile.write(path, np.stack([other, x], 1), rate)
    with pytest.raises(UserError, match="nothing is left of train"):
        run(monkeypatch, "--data", tree)
    assert "--channel 1" in table("data/tree/rejected.csv")[0]["expected"]
    run(monkeypatch, "--data", tree, "--channel", 1)
    train = manifest.read(tmp_path / "data/tree/train.csv")
    assert len(train) == 12
    np.testing.assert_allclose(train.sources(0).sum(0), train.mix(0), atol=1e-7)
    with pytest.raises(UserError, match="nothing is left of train"):
        run(monkeypatch, "--data", tree, "--channel", 2)
    assert "channel 2" in table("data/tree/rejected.csv")[0]["expected"]


def test_manifest_of_a_faultless_tree(tree, monkeypatch, tmp_path):
    before = snapshot(tree)
    run(monkeypatch, "--data", "tree")
    assert snapshot(tree) == before
    files = {"train.csv", "valid.csv", "test.csv", "rejected.csv", "root.yml"}
    assert {path.name for path in Path("data/tree").iterdir()} == files
    snrs = ["-5", "0", "5", "10", "15"]
    assert ids("train") == [f"{i + 1:04d}_{snrs[i % 5]}" for i in range(12)]
    test = manifest.read("data/tree/test.csv")
    assert test.root == tmp_path / "tree"
    for i in range(3):
        np.testing.assert_array_equal(test.sources(i).sum(0), test.mix(i))
        row = test.row(i)
        assert (row.sample_rate, row.num_samples) == (RATE, LENGTH)
        assert (row.voice_gain, row.noise_gain) == (1, 1)


def test_again_gives_the_same_bytes(tree, monkeypatch):
    run(monkeypatch, "--data", tree)
    before = [(path, data) for path, (data, _) in snapshot(Path("data")).items()]
    run(monkeypatch, "--data", tree)
    assert [(path, data) for path, (data, _) in snapshot(Path("data")).items()] == before


def test_processes_find_the_same(tree, monkeypatch):
    cut(tree / "train" / "0007", "voice.wav", 0.5)
    run(monkeypatch, "--data", tree, "--name", "alone")
    monkeypatch.setattr(prepare, "FOLDERS_PER_WORKER", 4)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    run(monkeypatch, "--data", tree, "--name", "together")
    for file in ("train.csv", "valid.csv", "test.csv", "rejected.csv"):
        assert Path("data/alone", file).read_text() == Path("data/together", file).read_text()


def test_too_many_rejected(tree, monkeypatch):
    for folder in ("0001", "0002"):
        (tree / "train" / folder / "voice.wav").unlink()
    with pytest.raises(UserError, match=r"2 of 17 mixtures \(11.8 %\).*--max-rejected 12"):
        run(monkeypatch, "--data", tree)
    assert len(table("data/tree/rejected.csv")) == 2
    assert not Path("data/tree/train.csv").exists()
    run(monkeypatch, "--data", tree, "--max-rejected", 12)
    assert len(ids("train")) == 10


def test_many_rejections_are_cut_short_on_the_terminal(tree, monkeypatch, capsys):
    for folder in (tree / "train").iterdir():
        if folder.name != "0001":
            (folder / "voice.wav").unlink()
    run(monkeypatch, "--data", tree, "--max-rejected", 100)
    printed = capsys.readouterr().out
    assert "rejected, missing file: 11\n" in printed
    assert printed.count("voice.wav: expected") == findings.SHOWN
    assert f"and 6 more, in {Path('data/tree/rejected.csv')}" in printed


def test_nothing_left(tree, monkeypatch):
    for folder in (tree / "test").iterdir():
        (folder / "voice.wav").unlink()
    with pytest.raises(UserError, match=r"nothing is left of test: see data/tree/rejected.csv"):
        run(monkeypatch, "--data", tree, "--max-rejected", 100)


@pytest.mark.parametrize(
    ("breaker", "match"),
    [
        (lambda tree: shutil.rmtree(tree), "expected the folder of a tree"),
        (
            lambda tree: shutil.rmtree(tree / "test"),
            "expected train/ and test/.*found train, valid",
        ),
        (lambda tree: (tree / "train").rename(tree / "trian"), "did you mean 'trian'"),
    ],
)
def test_no_tree(breaker, match, tree, monkeypatch):
    breaker(tree)
    with pytest.raises(UserError, match=match):
        run(monkeypatch, "--data", tree)
    assert not Path("data").exists()


def test_no_folders(tree, monkeypatch):
    shutil.rmtree(tree / "test")
    (tree / "test").mkdir()
    with pytest.raises(UserError, match="test/: expected folders such as 0001"):
        run(monkeypatch, "--data", tree)


def test_a_valid_split_that_cannot_be_reached_is_not_replaced(tree, monkeypatch):
    shutil.rmtree(tree / "valid")
    (tree / "valid").symlink_to("/no/such/disk")
    with pytest.raises(UserError, match=r"valid: cannot be listed \(No such file"):
        run(monkeypatch, "--data", tree)
    assert not Path("data").exists()


def test_a_name_belongs_to_one_tree(tree, monkeypatch):
    run(monkeypatch, "--data", tree, "--name", "mine")
    other = shutil.copytree(tree, tree.with_name("other"))
    with pytest.raises(UserError, match=r"mine is the name of the tree .*tree, not of .*other"):
        run(monkeypatch, "--data", other, "--name", "mine")
    run(monkeypatch, "--data", other)
    assert ids("train", "other") == ids("train", "mine")


def test_a_damaged_root_yml_is_named_and_can_be_made_again(tree, monkeypatch):
    run(monkeypatch, "--data", tree, "--name", "mine")
    place = Path("data/mine/root.yml")
    whole = place.read_bytes()
    place.write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"data/mine/root\.yml.*delete it and run stage 0 again"):
        run(monkeypatch, "--data", tree, "--name", "mine")
    place.unlink()
    run(monkeypatch, "--data", tree, "--name", "mine")
    assert place.read_bytes() == whole


@pytest.mark.parametrize("name", ["tree", "tree/..", "../x", ""])
def test_never_into_the_tree(name, tree, monkeypatch):
    """Where the tree is data/<name>, or the name would lead elsewhere."""
    tree.rename(tree.with_name("data"))
    before = snapshot(Path("data"))
    with pytest.raises(UserError):
        run(monkeypatch, "--data", "data", *(["--name", name] if name else []))
    assert snapshot(Path("data")) == before


def test_a_place_that_cannot_be_written_to(tree, monkeypatch):
    Path("data").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="data/tree: cannot be written to"):
        run(monkeypatch, "--data", tree)


@pytest.mark.parametrize(
    "options",
    [["--channel", "-1"], ["--channel", "x"], ["--max-rejected", "101"], ["--nmae", "x"], []],
)
def test_faults_of_options(options, tree, monkeypatch):
    data = ["--data", tree] if options else []
    with pytest.raises(UserError):
        run(monkeypatch, *data, *options)


@pytest.mark.parametrize("after", range(3))
def test_interrupted_writing_leaves_what_was_there(after, tree, monkeypatch):
    run(monkeypatch, "--data", tree)
    before = snapshot(Path("data"))
    make_folder(tree / "train" / "0013", "5", seed=77)
    whole, calls = manifest.write, []

    def interrupted(path, rows):
        calls.append(path)
        if len(calls) > after:
            path.write_text("half a line")
            raise KeyboardInterrupt
        whole(path, rows)

    monkeypatch.setattr(manifest, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, "--data", tree)
    after_it = snapshot(Path("data"))
    rejected = Path("data/tree/rejected.csv")
    assert after_it.pop(rejected)[0] == before.pop(rejected)[0]
    assert after_it == before


def test_as_a_program(tree):
    """One line and exit code 2 where the input is at fault; no torch to look at files."""
    command = [sys.executable, "-X", "importtime", "-m", "local.prepare", "--data"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    options = {"env": environment, "capture_output": True, "text": True}
    good = subprocess.run([*command, "tree"], **options)
    assert good.returncode == 0
    assert "train: 12 mixtures in 12 groups" in good.stdout
    assert "soundfile" in good.stderr
    assert " torch" not in good.stderr
    bad = subprocess.run([*command, "nowhere"], **options)
    lines = [line for line in bad.stderr.splitlines() if not line.startswith("import time")]
    assert bad.returncode == 2
    assert lines == [
        f"winnow prepare: --data {Path('nowhere').resolve()}: expected the folder of a tree,"
        " found nothing there"
    ]

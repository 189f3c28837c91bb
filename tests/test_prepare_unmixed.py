"""Stage 0 on voices and noises that are not mixed yet: what is written, what is refused."""

import csv
import os
import shutil
import sys
from pathlib import Path

import corpus_trees
import numpy as np
import pytest
import soundfile
from sound_folders import make_noises, make_rooms, make_voices, noise, put, voice
from triplet_trees import make_tree, snapshot, table

from local import SOURCES, prepare
from local.base.disk import read_yaml
from local.base.errors import UserError
from local.corpus import manifest

LISTS = {"voices": "voice", "noises": "noise", "rooms": "room"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current directory, with folders of voices and noises."""
    monkeypatch.chdir(tmp_path)
    make_voices(tmp_path / "voices", 5)
    make_noises(tmp_path / "noises", 5)
    return tmp_path


@pytest.fixture
def run(here, monkeypatch):
    """Stage 0 with these options besides --voices, --noises and --name."""

    def main(*options, sources=("--voices", "voices", "--noises", "noises", "--name", "mine")):
        monkeypatch.setattr(sys, "argv", ["prepare.py", *sources, *map(str, options)])
        prepare.main()

    return main


def used(split):
    """The files of a split: (folder, path) of what it lists or was mixed of."""
    if split == "train":
        cells = [row[source] for row in table("data/mine/train.csv") for source in SOURCES]
        rooms = Path("data/mine/train_rooms.csv")
        cells += [row["file"] for row in table(rooms)] if rooms.exists() else []
        return {tuple(cell.split(":")) for cell in cells if cell}
    plan = table(f"data/mine/triplets/{split}/groups.csv")
    return {(name, row[column]) for row in plan for name, column in LISTS.items() if row[column]}


def test_nothing_of_valid_or_test_is_in_train(here, run, capsys):
    make_rooms(here / "rooms", 4)
    before = {path: snapshot(here / path) for path in LISTS}
    run("--rooms", "rooms")
    assert {path: snapshot(here / path) for path in LISTS} == before
    splits = {split: used(split) for split in ("train", "valid", "test")}
    everything = {(name, str(path.relative_to(here / name)))
                  for name in LISTS for path in (here / name).rglob("*.*")}  # fmt: skip
    assert set().union(*splits.values()) <= everything
    speakers = {split: {Path(path).parent for name, path in files if name == "voices"}
                for split, files in splits.items()}  # fmt: skip
    for split, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert splits[split].isdisjoint(splits[other])
        assert speakers[split].isdisjoint(speakers[other])
    assert sum(map(len, speakers.values())) == 5
    *_, line = capsys.readouterr().out.splitlines()
    plural = {"voices": ("speaker", "speakers"), "noises": ("recording", "recordings"),
              "rooms": ("room", "rooms")}  # fmt: skip

    def counted(split):
        words = []
        for name, word in (
            ("voices", "speaker"), ("noises", "recording of noise"), ("rooms", "room")
        ):  # fmt: skip
            files = [file for file in splits[split] if file[0] == name]
            count = len(speakers[split]) if name == "voices" else len(files)
            words.append(f"{count} {word if count == 1 else word.replace(*plural[name])}")
        return ", ".join(words)

    counts = [counted(split) for split in ("valid", "test", "train")]
    assert line == (
        f"nothing of valid ({counts[0]}) or test ({counts[1]}) is in train ({counts[2]}):"
        " names, files and samples compared"
    )


def test_manifests_are_read_as_any_others(here, run):
    run()
    train = manifest.read("data/mine/train.csv")
    rows = [train.row(i) for i in range(len(train))]
    assert {row.group for row in rows if row.holds("voice")} < {f"s{i}" for i in range(1, 6)}
    for i, row in enumerate(rows):
        [source] = [name for name in SOURCES if row.holds(name)]
        name, path = getattr(row, source).split(":")
        expected, rate = soundfile.read(here / name / path, dtype="float32")
        assert (row.num_samples, row.sample_rate) == (len(expected), rate)
        np.testing.assert_array_equal(train.source(i, source), expected)
    test = manifest.read("data/mine/test.csv")
    assert sorted(test.row(i).snr_db for i in range(10)) == [-5, -5, 0, 0, 5, 5, 10, 10, 15, 15]
    for i in range(len(test)):
        np.testing.assert_array_equal(test.sources(i).sum(0), test.mix(i))
        assert test.row(i).measured_snr_db == pytest.approx(test.row(i).snr_db, abs=0.01)
    plan = table("data/mine/triplets/test/groups.csv")
    groups = {row["folder"]: row["group"] for row in plan}
    assert {test.row(i).id[:4]: test.row(i).group for i in range(len(test))} == groups
    assert train.hash
    assert test.hash


def test_the_data_set_moves_with_its_folder_and_finds_moved_sources(here, run):
    run()
    before = manifest.read("data/mine/test.csv").hash
    shutil.move("data", "elsewhere")
    assert manifest.read("elsewhere/mine/test.csv").hash == before
    shutil.move("voices", "talkers")
    train = manifest.read("elsewhere/mine/train.csv")
    with pytest.raises(UserError, match=r"voices/s.*not there, though .*edit root or folders in "):
        _ = train.hash
    place = Path("elsewhere/mine/root.yml")
    place.write_text(place.read_text().replace(str(here / "voices"), str(here / "talkers")))
    assert manifest.read("elsewhere/mine/train.csv").source(0, "voice").any()


def test_again_gives_the_same_bytes_and_writes_no_triplet_twice(here, run):
    run("--snrs=-2.5,3")
    before = snapshot(Path("data"))
    run("--snrs=-2.5,3")
    after = snapshot(Path("data"))
    assert {path: data for path, (data, _) in after.items()} == {
        path: data for path, (data, _) in before.items()
    }
    assert all(after[path] == before[path] for path in before if path.suffix == ".wav")
    assert {row["snr_db"] for row in table("data/mine/test.csv")} == {"-2.5", "3.0"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--snrs", "0"],
            r"mine was made with snrs \[-5.0, .*not \[0.0\]; give another --name, or",
        ),
        (["--channel", "1"], "mine was made with channel None, not 1"),
        (["--rooms", "rooms"], "mine was made with folders"),
    ],
)
def test_other_options_are_another_data_set(here, run, options, said):
    run()
    make_rooms(here / "rooms", 3)
    before = snapshot(Path("data"))
    with pytest.raises(UserError, match=said):
        run(*options)
    assert snapshot(Path("data")) == before


def test_moved_folders_are_edited_in_root_yml_and_nothing_is_made_again(here, run):
    run()
    before = snapshot(Path("data/mine/triplets/test/0001"))
    os.rename(here / "voices", here / "elsewhere")
    sources = "--voices", "elsewhere", "--noises", "noises", "--name", "mine"
    with pytest.raises(UserError, match="edit folders there if they were moved, or delete"):
        run(sources=sources)
    place = Path("data/mine/root.yml")
    place.write_text(place.read_text().replace("/voices", "/elsewhere"))
    run(sources=sources)
    assert snapshot(Path("data/mine/triplets/test/0001")) == before


def test_a_damaged_root_yml_is_named_and_can_be_made_again(here, run):
    run()
    before = {path: data for path, (data, _) in snapshot(Path("data")).items()}
    Path("data/mine/root.yml").write_text("[")
    with pytest.raises(UserError, match=r"data/mine/root\.yml.*delete it and run stage 0 again"):
        run()
    Path("data/mine/root.yml").unlink()
    run()
    assert {path: data for path, (data, _) in snapshot(Path("data")).items()} == before


def test_a_tree_does_not_take_the_name(here, run):
    run()
    make_tree(here / "tree", {"train": 3, "test": 1})
    with pytest.raises(UserError, match="mine is the name of the tree triplets, not of"):
        run(sources=("--data", "tree", "--name", "mine"))


def test_faulty_files_are_rejected_with_a_reason(here, run, capsys):
    put(here / "voices/s1/silent.wav", np.zeros(1000))
    put(here / "noises/copy.wav", noise(1000))
    (here / "noises" / "text.wav").write_text("no sound")
    with pytest.raises(
        UserError, match=r"3 of 18 files .* rejected, more than 10 %.*--max-rejected 17"
    ):
        run()
    assert not Path("data/mine/triplets").exists()
    capsys.readouterr()
    run("--max-rejected", 17)
    rows = table("data/mine/rejected.csv")
    assert [(row["split"], row["folder"], row["file"], row["reason"]) for row in rows] == [
        ("voices", "s1", "silent.wav", "silent voice or noise"),
        ("noises", "", "n1.flac", "copy of another file"),
        ("noises", "", "text.wav", "not a wav"),
    ]
    printed = capsys.readouterr().out
    assert "rejected, silent voice or noise: 1\n    voices/s1/silent.wav: expected" in printed


def test_a_channel_of_several(here, run):
    for path in sorted((here / "noises").iterdir()):
        x, rate = soundfile.read(path)
        soundfile.write(path, np.stack([np.zeros_like(x), x], 1), rate)
    with pytest.raises(UserError, match="rejected, more than 10 %"):
        run()
    shutil.rmtree("data")
    run("--channel", 1)  # voices have one channel: it is taken
    for split in ("train", "test"):
        read = manifest.read(f"data/mine/{split}.csv")
        for i in range(len(read)):
            for source in SOURCES:
                assert not read.row(i).holds(source) or read.source(i, source).any()


def test_rooms_with_a_tree_are_for_training(here, run, capsys):
    make_tree(here / "tree", {"train": 3, "valid": 1, "test": 1})
    make_rooms(here / "rooms", 2)
    (here / "rooms" / "bad.wav").write_text("no sound")
    run("--rooms", "rooms", "--max-rejected", 30, sources=("--data", "tree"))
    assert "rooms for training: 2 responses" in capsys.readouterr().out
    train = manifest.read("data/tree/train.csv")
    assert [room.file for room in train.rooms] == ["rooms:r1.wav", "rooms:r2.wav"]
    assert [np.argmax(train.response(room)) for room in train.rooms] == [20, 20]
    assert not manifest.read("data/tree/test.csv").rooms
    with_rooms = train.hash
    (row,) = table("data/tree/rejected.csv")
    assert row["file"] == "bad.wav"
    run(sources=("--data", "tree"))
    assert not manifest.read("data/tree/train.csv").rooms
    assert manifest.read("data/tree/train.csv").hash != with_rooms
    assert "folders" not in read_yaml("data/tree/root.yml")


def only_folders(here):
    for path in (here / "voices").rglob("*.wav"):
        path.unlink()


@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        (only_folders, r"--voices .*expected sound files .*found none"),
        (lambda here: shutil.rmtree(here / "noises"), "--noises .*expected a folder, found"),
        (lambda here: [shutil.rmtree(here / "voices" / f"s{i}") for i in (1, 2, 3)],
         "speakers: expected at least 3, one each for train, valid and test, found 2: s4, s5"),
        (lambda here: [(here / "noises" / f"n{i}.flac").unlink() for i in (1, 2, 3)],
         "--noises .*expected at least 3"),
        (lambda here: put(here / "voices/s2/7.wav", voice(0)).write_text("x") and
         (here / "voices/speakers.csv").write_text("file,speaker\ns1/9.wav,ann\n"),
         "speakers.csv, line 2: names s1/9.wav, which is no sound file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(here, run, breaker, said):
    breaker(here)
    with pytest.raises(UserError, match=said) as fault:
        run()
    assert "\n" not in str(fault.value)
    assert not Path("data/mine/train.csv").exists()
    assert not Path("data/mine/triplets").exists()


@pytest.mark.parametrize("folder", ["clean_train", "noise_test"])
def test_an_empty_folder_of_a_corpus_is_named(here, run, folder):
    corpus_trees.ms_snsd_sources(here / "corpus")
    for path in (here / "corpus" / folder).iterdir():
        path.unlink()
    with pytest.raises(UserError, match=f"/{folder}: expected wav files, found none"):
        run(sources=("--data", "corpus"))
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--voices", "voices", "--name", "x"], "--voices needs --noises DIR"),
        (["--noises", "noises", "--name", "x"], "--noises needs --voices DIR"),
        (["--voices", "voices", "--noises", "noises"], "need --name WORD"),
        (["--voices", "v", "--noises", "n", "--name", "x", "--data", "d"], "--data and --voices"),
        (["--data", "voices", "--snrs", "0"], "--snrs goes with --voices and --noises only"),
        ([], "expected --data DIR, or --voices DIR and --noises DIR"),
        (["--voices", "voices", "--noises", "voices/s1", "--name", "x"],
         "--noises .*s1 lies in --voices"),
        (["--voices", "voices", "--noises", "noises", "--name", "x", "--snrs", "0,0.0"],
         "--snrs 0,0.0: expected different numbers"),
        (["--voices", "voices", "--noises", "noises", "--name", "x", "--snrs", "41"], "--snrs 41"),
        (["--voices", "voices", "--noises", "noises", "--name", "x", "--snrs", "0,,5"], "--snrs"),
        (["--voices", ".", "--noises", "noises", "--name", "x"], "lies inside --voices"),
    ],
)  # fmt: skip
def test_faults_of_options_are_one_line(run, options, said):
    with pytest.raises(UserError, match=said):
        run(sources=options)
    assert not Path("data").exists()


def test_a_carriage_return_in_a_name_tears_no_table(here, run):
    make_voices(here / "more", 1, files=1)
    os.rename(here / "more" / "s1", here / "voices" / "s6\r")
    run()
    (row,) = table("data/mine/rejected.csv")
    assert (row["folder"], row["reason"]) == (r"s6\r", "name that cannot be read")
    assert len(manifest.read("data/mine/train.csv")) == len(table("data/mine/train.csv"))


def test_names_of_any_bytes(here, run):
    odd = os.fsdecode(b"caf\xe9")
    os.rename(here / "voices" / "s1", here / "voices" / odd)
    for i in range(1, 6):
        os.rename(here / "noises" / f"n{i}.flac", here / "noises" / f"{odd}{i}.flac")
    run()
    run()
    with open("data/mine/triplets/test/groups.csv", encoding="utf-8", errors="surrogateescape",
              newline="") as file:  # fmt: skip
        assert all(odd in row["noise"] for row in csv.DictReader(file))
    assert manifest.read("data/mine/test.csv").row(0).group.startswith(odd)

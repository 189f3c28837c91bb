"""Folders of sources: whose file is whose, which splits are given, every fault in one line."""

import os

import pytest
from sound_folders import make_voices

from local.base.errors import UserError
from local.corpus import sources
from local.corpus.sources import NOISES, VOICES, File


@pytest.fixture
def voices(tmp_path):
    return make_voices(tmp_path / "voices", 4)


def touch(root, *paths):
    """Only names matter here."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def owners(files):
    return {file.path: file.owner for file in files}


def test_a_folder_is_a_speaker_however_deep(tmp_path):
    root = touch(tmp_path, "p1/a.wav", "p1/x/b.FLAC", "p2/y/z/c.ogg", "p2/notes.txt", "p2/.d.wav",
                 ".cache/e.wav")  # fmt: skip
    files = sources.find(root, VOICES)
    assert owners(files) == {"p1/a.wav": "p1", "p1/x/b.FLAC": "p1", "p2/y/z/c.ogg": "p2"}
    assert {file.split for file in files} == {""}


def test_a_noise_is_a_recording_unless_groups_say_otherwise(tmp_path):
    root = touch(tmp_path, "a.wav", "b.wav", "c/a.wav")
    assert owners(sources.find(root, NOISES)) == {p: p for p in ("a.wav", "b.wav", "c/a.wav")}
    (root / "groups.csv").write_text("file,group\na.wav,street\n./c/a.wav,street\n")
    assert owners(sources.find(root, NOISES)) == {
        "a.wav": "street", "b.wav": "b.wav", "c/a.wav": "street"
    }  # fmt: skip


def test_speakers_of_a_table(tmp_path):
    root = touch(tmp_path, "a.wav", "b.wav", "p/c.wav")
    (root / "speakers.csv").write_text("file,speaker\na.wav,ann\nb.wav,ann\n")
    # who is not listed is unknown: a folder's name is no speaker where a table says who speaks
    assert owners(sources.find(root, VOICES)) == {"a.wav": "ann", "b.wav": "ann", "p/c.wav": ""}


def test_splits_are_given_by_folders(tmp_path):
    root = touch(tmp_path, "train/p1/a.wav", "train/p2/a.wav", "test/p3/a.wav")
    files = sources.find(root, VOICES)
    assert files == [
        File("test/p3/a.wav", "p3", "test"),
        File("train/p1/a.wav", "p1", "train"),
        File("train/p2/a.wav", "p2", "train"),
    ]
    shared = sources.split(files, root, VOICES, 0)
    assert sorted(file.split for file in shared) == ["test", "train", "valid"]


def test_a_table_without_splits_leaves_those_of_the_folders(tmp_path):
    root = touch(tmp_path, "train/a.wav", "train/b.wav", "test/c.wav")
    (root / "groups.csv").write_text("file,group\ntrain/a.wav,x\ntrain/b.wav,x\ntest/c.wav,y\n")
    splits = {file.path: file.split for file in sources.find(root, NOISES)}
    assert splits == {"train/a.wav": "train", "train/b.wav": "train", "test/c.wav": "test"}


def test_splits_are_given_by_a_table(tmp_path):
    root = touch(tmp_path, *(f"{name}.wav" for name in "abc"))
    lines = ["file,group,split", "a.wav,x,train", "b.wav,x,train", "c.wav,y,test"]
    (root / "groups.csv").write_text("\n".join(lines))
    files = sources.find(root, NOISES)
    assert [file.split for file in files] == ["train", "train", "test"]
    with pytest.raises(UserError, match="train has only x, and nothing is valid"):
        sources.split(files, root, NOISES, 0)


def test_links_are_followed_once(tmp_path, voices):
    (tmp_path / "links").mkdir()
    os.symlink(voices / "s1", tmp_path / "links" / "s1")
    os.symlink(tmp_path / "links", tmp_path / "links" / "again")
    assert owners(sources.find(tmp_path / "links", VOICES)) == {"s1/0.wav": "s1", "s1/1.wav": "s1"}


def test_an_owner_is_never_torn(voices):
    files = sources.find(voices, VOICES)
    for seed in range(10):
        shared = sources.split(files, voices, VOICES, seed)
        assert [file._replace(split="") for file in shared] == files
        for speaker in ("s1", "s2", "s3", "s4"):
            assert len({file.split for file in shared if file.owner == speaker}) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,name\ns1/0.wav,ann\n", "expected the columns file and speaker .*found file, name"),
        ("", "expected the columns file and speaker .*found none"),
        ("file,speaker\ns1/0.wav,ann\ns1/7.wav,ann\n",
         "line 3: names s1/7.wav, which is no sound file in .*did you mean 's1/.*wav'"),
        ("file,speaker\ns1/0.wav,\n", "line 2: expected a speaker of s1/0.wav, found none"),
        ("file,speaker\ns1/0.wav,ann\ns1/0.wav,bob\n", "line 3: s1/0.wav stands there twice.*ann"),
        ("file,speaker,split\ns1/0.wav,ann,dev\n", "line 2: expected train or .*found 'dev'"),
        ("file,speaker,split\ns1/0.wav,ann,train\ns1/1.wav,ann,test\n",
         "speaker ann is in two splits: s1/0.wav in train, s1/1.wav in test"),
        ("file,speaker\n\0", "cannot be read|names|which is no sound file"),
    ],
)  # fmt: skip
def test_faults_of_a_table_are_one_line(voices, text, said):
    (voices / "speakers.csv").write_text(text)
    with pytest.raises(UserError, match=said) as fault:
        sources.find(voices, VOICES)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("make", "found"),
    [(os.mkfifo, "a pipe"), (lambda path: path.symlink_to("gone.csv"), "a link to nothing")],
)
def test_a_table_that_is_no_file_is_named(voices, make, found):
    make(voices / "speakers.csv")
    with pytest.raises(UserError, match=f"speakers.csv: expected a file, found {found}"):
        sources.find(voices, VOICES)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], r"expected sound files \(\.wav, \.flac.*found none in it or below it"),
        (["readme.txt"], "found none in it"),
        (["a.wav", "b.wav"], "expected a folder for each speaker, or speakers.csv"),
        (["train/p1/a.wav", "test/p1/b.wav"],
         "speaker p1 is in two splits: test/p1/b.wav in test, train/p1/a.wav in train"),
        (["train/p1/a.wav", "test/p2/a.wav", "dev/p3/a.wav", "dev/p4/a.wav"],
         "2 files are in none of train, valid, test; the first is dev/p3/a.wav"),
    ],
)  # fmt: skip
def test_faults_of_a_folder_are_one_line(tmp_path, paths, said):
    with pytest.raises(UserError, match=said):
        sources.find(touch(tmp_path, *paths), VOICES)


def test_a_file_beside_given_splits_is_named(tmp_path):
    root = touch(tmp_path, "train/a.wav", "test/b.wav", "c.wav")
    with pytest.raises(UserError, match=r"splits are given, and 1 files are in none.*c\.wav"):
        sources.find(root, NOISES)


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"--noises .*expected a folder, found nothing there"):
        sources.find(tmp_path / "none", NOISES)
    with pytest.raises(UserError, match=r"--noises .*expected a folder, found a file"):
        sources.find(touch(tmp_path, "x") / "x", NOISES)


def test_too_few_speakers(tmp_path):
    root = make_voices(tmp_path / "voices", 2, files=1)
    with pytest.raises(UserError, match=r"--voices .*speakers: expected at least 3.*found 2: s1"):
        sources.split(sources.find(root, VOICES), root, VOICES, 0)

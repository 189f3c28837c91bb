"""Manifests: what is read is what was written; the hash follows rows and files, not places."""

import shutil

import numpy as np
import pytest
import soundfile
from triplet_trees import RATE, make_tree, signals, write

from local import SOURCES
from local.base.disk import write_yaml
from local.base.errors import UserError
from local.corpus import manifest
from local.corpus.manifest import Row
from local.corpus.triplets import look, scan

LENGTH = RATE // 2


def prepare(tree, out, channel=None, **changes):
    """The manifest of the test split of a tree; ``changes`` are made to its first row."""
    rows = []
    for folder in scan(tree, "test")[0]:
        rows += [row for row, _ in look(tree, "test", folder).examples]
    rows[0] = rows[0]._replace(**changes)
    out.mkdir(parents=True, exist_ok=True)
    manifest.write(out / "test.csv", rows)
    write_yaml(out / "root.yml", {"root": str(tree), "channel": channel})
    return manifest.read(out / "test.csv")


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", {"test": 3})


@pytest.fixture
def prepared(tree, tmp_path):
    return prepare(tree, tmp_path / "data")


def test_rows_come_back(tree, tmp_path):
    odd = Row("0001_-5", -5.0, "a, b", 'c"d', "é", 16000, 7, 1e-7, 0.123456, -4.999, "NA")
    path = tmp_path / "test.csv"
    manifest.write(path, [odd, odd._replace(id="0002_5", group="0002")])
    write_yaml(tmp_path / "root.yml", {"root": str(tree)})
    found = manifest.read(path)
    assert len(found) == 2
    assert found.row(0) == odd
    assert found.row(1).group == "0002"
    assert tuple(found.rows.columns) == Row._fields
    assert found.rows.group.tolist() == ["NA", "0002"]
    assert found.root == tree
    assert [type(value) for value in found.row(0)] == list(Row.__annotations__.values())


def test_an_empty_manifest(tmp_path):
    manifest.write(tmp_path / "test.csv", [])
    write_yaml(tmp_path / "root.yml", {"root": str(tmp_path)})
    assert len(manifest.read(tmp_path / "test.csv")) == 0


def test_samples_and_gains(tree, tmp_path):
    found = prepare(tree, tmp_path / "data", voice_gain=0.5, noise_gain=3.0)
    voice, _ = soundfile.read(tree / "test/0001/voice.wav")
    noise, _ = soundfile.read(tree / "test/0001/noise.wav")
    mix, _ = soundfile.read(tree / "test/0001/mix_snr_-5.wav")
    for start, frames in ((0, -1), (100, 50), (LENGTH - 7, -1), (LENGTH - 7, 50), (LENGTH, 5)):
        part = slice(start, LENGTH if frames < 0 else start + frames)
        sources = found.sources(0, start, frames)
        assert sources.dtype == np.float32
        np.testing.assert_array_equal(sources, [0.5 * voice[part], 3 * noise[part]])
        np.testing.assert_array_equal(found.source(0, "noise", start, frames), 3 * noise[part])
        np.testing.assert_array_equal(found.mix(0, start, frames), mix[part])
    np.testing.assert_array_equal(found.sources(1).sum(0), found.mix(1))


def test_a_channel(tree, tmp_path):
    for path in tree.rglob("*.wav"):
        x, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path, np.stack([x, x // 2], 1), rate)
    mono = make_tree(tmp_path / "mono", {"test": 3})
    found = prepare(mono, tmp_path / "data")
    write_yaml(tmp_path / "data/root.yml", {"root": str(tree), "channel": 1})
    second = manifest.read(tmp_path / "data/test.csv")
    np.testing.assert_allclose(second.sources(0), found.sources(0) / 2, atol=1 / 32768)
    write_yaml(tmp_path / "data/root.yml", {"root": str(tree), "channel": 0})
    assert manifest.read(tmp_path / "data/test.csv").hash != second.hash


def test_a_source_of_several_files_is_their_sum(tree, tmp_path):
    both = manifest.cell(["test/0001/voice.wav", "test/0002/voice.wav"])
    assert manifest.files(both) == ["test/0001/voice.wav", "test/0002/voice.wav"]
    found = prepare(tree, tmp_path / "data", voice=both, voice_gain=0.5)
    first, second = (
        soundfile.read(tree / path, dtype="float32")[0] for path in manifest.files(both)
    )
    for start, frames in ((0, -1), (100, 50), (LENGTH - 7, 50)):
        part = slice(start, LENGTH if frames < 0 else start + frames)
        expected = 0.5 * (first[part] + second[part])
        np.testing.assert_array_equal(found.source(0, "voice", start, frames), expected)


def test_a_noise_without_a_file_is_the_mixture_minus_the_voice(tree, tmp_path):
    found = prepare(tree, tmp_path / "data", noise="", voice_gain=0.5)
    voice, mix = (
        soundfile.read(tree / f"test/0001/{name}.wav", dtype="float32")[0]
        for name in ("voice", "mix_snr_-5")
    )
    noise = found.source(0, "noise")
    assert noise.dtype == np.float32
    np.testing.assert_array_equal(noise, mix - 0.5 * voice)
    np.testing.assert_array_equal(found.source(0, "noise", 100, 50), noise[100:150])
    np.testing.assert_array_equal(found.sources(0), [0.5 * voice, noise])


def test_a_mixture_without_a_file_is_the_sum(tree, tmp_path):
    found = prepare(tree, tmp_path / "data", mix="", voice_gain=0.5, noise_gain=3.0)
    np.testing.assert_array_equal(found.mix(0), found.sources(0).sum(0))
    np.testing.assert_array_equal(found.mix(0, 100, 50), found.mix(0)[100:150])


def test_sources_alone(tree, tmp_path):
    paths = {"voice": "test/0001/voice.wav", "noise": "test/0002/noise.wav"}
    rows = [manifest.alone(name, paths[name], RATE, LENGTH, f"a {name}") for name in SOURCES]
    manifest.write(tmp_path / "train.csv", rows)
    write_yaml(tmp_path / "root.yml", {"root": str(tree)})
    found = manifest.read(tmp_path / "train.csv")
    for i, name in enumerate(SOURCES):
        row = found.row(i)
        assert row == rows[i]
        assert (row.id, row.mix, row.group) == (paths[name], "", f"a {name}")
        assert [row.holds(source) for source in SOURCES] == [source == name for source in SOURCES]
        expected, _ = soundfile.read(tree / paths[name])
        np.testing.assert_array_equal(found.source(i, name, 100, 50), expected[100:150])
    before = found.hash
    (tree / "beside").mkdir()  # a folder's own size is no part of the hash
    assert manifest.read(tmp_path / "train.csv").hash == before
    with open(tree / paths["noise"], "ab") as data:
        data.write(b"\0")
    assert manifest.read(tmp_path / "train.csv").hash != before


def test_a_mixture_holds_both(prepared):
    assert all(prepared.row(0).holds(source) for source in SOURCES)


# --- hash -----------------------------------------------------------------------------------


def test_hash_is_twelve_hex_digits(prepared):
    assert len(prepared.hash) == 12
    int(prepared.hash, 16)


def test_hash_stays_when_the_tree_moves(prepared, tree, tmp_path):
    before = prepared.hash
    moved = tree.rename(tmp_path / "elsewhere")
    assert prepare(moved, tmp_path / "other").hash == before
    shutil.copytree(tmp_path / "other", tmp_path / "third")
    assert manifest.read(tmp_path / "third/test.csv").hash == before


@pytest.mark.parametrize(
    "change",
    [
        {"snr_db": 5.0},
        {"id": "0001_+5"},
        {"group": "other"},
        {"voice_gain": 1.00001},
        {"measured_snr_db": -5.001},
        {"voice": "test/0002/voice.wav"},
    ],
)
def test_hash_changes_with_a_row(change, prepared, tree, tmp_path):
    assert prepare(tree, tmp_path / "other", **change).hash != prepared.hash


def test_hash_changes_with_the_order(prepared, tmp_path):
    header, *rows = (tmp_path / "data/test.csv").read_text().splitlines()
    (tmp_path / "data/test.csv").write_text("\n".join([header, *reversed(rows)]))
    assert manifest.read(tmp_path / "data/test.csv").hash != prepared.hash


@pytest.mark.parametrize("file", ["voice.wav", "noise.wav", "mix_snr_-5.wav"])
def test_hash_changes_with_the_size_of_a_file(file, prepared, tree, tmp_path):
    before = prepared.hash
    with open(tree / "test/0001" / file, "ab") as data:
        data.write(b"\0")
    assert manifest.read(tmp_path / "data/test.csv").hash != before


def test_hash_changes_with_the_size_of_each_file_of_a_sum(tree, tmp_path):
    both = manifest.cell(["test/0001/voice.wav", "test/0002/noise.wav"])
    before = prepare(tree, tmp_path / "data", voice=both, noise="").hash
    with open(tree / "test/0002/noise.wav", "ab") as data:
        data.write(b"\0")
    assert manifest.read(tmp_path / "data/test.csv").hash != before


def test_hash_does_not_depend_on_line_ends(prepared, tmp_path):
    path = tmp_path / "data/test.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert manifest.read(path).hash == prepared.hash


# --- faults ---------------------------------------------------------------------------------


def test_missing_names_the_stage(tmp_path):
    with pytest.raises(UserError, match=r"test.csv: not there; stage 0 makes it"):
        manifest.read(tmp_path / "test.csv")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "not a manifest"),
        ("id,snr_db\n1,x\n", "not a manifest"),
        ("id,snr_db\n1,5\n", "expected the columns id, snr_db, mix"),
        ("\0\xff", "not a manifest|expected the columns"),
    ],
)
def test_not_a_manifest(text, match, tmp_path):
    (tmp_path / "test.csv").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=match):
        manifest.read(tmp_path / "test.csv")


@pytest.mark.parametrize(
    "text",
    ["", "- a", "root: 5", "root: [", "channel: 1", "root: /x\nchannel: left", "[" * 100_000,
     "root: 2020-13-45", "root: &a x\nchannel: *a", "root: /x\nfolders:\n  voices:"],
)  # fmt: skip
def test_faults_of_root_yml(text, prepared, tmp_path):
    (tmp_path / "data/root.yml").write_text(text)
    with pytest.raises(UserError, match=r"root\.yml.*; delete it and run stage 0 again$"):
        manifest.read(tmp_path / "data/test.csv")


def test_a_folder_in_the_place_of_root_yml(prepared, tmp_path):
    (tmp_path / "data/root.yml").unlink()
    (tmp_path / "data/root.yml").mkdir()
    with pytest.raises(UserError, match=r"root\.yml: expected a file"):
        manifest.read(tmp_path / "data/test.csv")


def test_the_tree_is_gone(prepared, tree):
    shutil.rmtree(tree)
    with pytest.raises(
        UserError, match=r"edit root or folders in .*root.yml, else run stage 0 again"
    ):
        _ = prepared.hash
    with pytest.raises(UserError, match=r"voice.wav: not there"):
        prepared.sources(0)


@pytest.mark.parametrize("length", [LENGTH - 1, LENGTH + 1])
def test_a_file_has_changed(length, prepared, tree):
    write(tree / "test/0001/voice.wav", signals(0, length)[0])
    with pytest.raises(UserError, match=f"expected {LENGTH} samples .*found {length}"):
        prepared.sources(0)


def test_a_rate_has_changed(prepared, tree):
    write(tree / "test/0001/voice.wav", signals(0, LENGTH)[0], 2 * RATE)
    with pytest.raises(UserError, match=f"at {RATE} Hz .* at {2 * RATE} Hz; it has changed"):
        prepared.sources(0, 0, 10)

"""Planned and written triplets: exact SNRs, the same bytes again, nothing written twice."""

import csv
from collections import Counter

import numpy as np
import pytest
import soundfile
from sound_folders import make_noises, make_rooms, make_voices, noise, put, voice
from triplet_trees import RATE, snapshot

from local import SOURCES
from local.base.errors import UserError
from local.corpus import mixing, sources, triplets, unmixed
from local.corpus.sources import KINDS

SNRS = [-5.0, 0.0, 2.5, 15.0]


@pytest.fixture
def folders(tmp_path):
    make_voices(tmp_path / "voices", 6)
    make_noises(tmp_path / "noises", 6)
    make_rooms(tmp_path / "rooms", 3)
    return {kind.option: str(tmp_path / kind.option) for kind in KINDS}


def order(folders, **changes):
    return unmixed.Order(**{"folders": folders, "channel": None, "snrs": SNRS}
                         | changes)  # fmt: skip


def recordings(made):
    kept, rejections = unmixed.gather(made)
    assert not rejections
    return unmixed.share(kept, made)


def mix(tree, made):
    return unmixed.mix(tree, recordings(made), made)


def read(folder):
    return {path.stem: soundfile.read(path, dtype="int16")[0] for path in folder.glob("*.wav")}


def test_every_triplet_is_a_sum_at_exactly_its_snr(tmp_path, folders):
    plans = mix(tmp_path / "tree", order(folders))
    for split, planned in plans.items():
        assert len(planned) == 2 * len(SNRS)  # one speaker of two files, each at every SNR
        assert Counter(item.snr_db for item in planned) == dict.fromkeys(SNRS, 2)
        for item in planned:
            x = read(tmp_path / "tree" / split / item.folder)
            mixture = x[f"mix_snr_{item.snr_db:g}"]
            np.testing.assert_array_equal(mixture, x["voice"] + x["noise"])
            v, n = (np.sum(x[name].astype(float) ** 2) for name in SOURCES)
            assert 10 * np.log10(v / n) == pytest.approx(item.snr_db, abs=0.01)
            assert 0.09 < np.abs(mixture).max() / 32768 < 1
            assert len(mixture) == 2 * RATE  # the noise lasts one second and is repeated


def test_stage_0_finds_no_fault_in_them(tmp_path, folders):
    plans = mix(tmp_path / "tree", order(folders))
    for split, planned in plans.items():
        found, strays = triplets.scan(tmp_path / "tree", split)
        assert not strays
        for folder, item in zip(found, planned, strict=True):
            seen = triplets.look(tmp_path / "tree", split, folder)
            assert not seen.rejections
            [(row, fit)] = seen.examples
            assert (row.snr_db, fit.voice_gain, fit.noise_gain) == (item.snr_db, 1, 1)


def test_the_voice_is_that_of_the_file_in_its_room(tmp_path, folders):
    del folders["rooms"]
    plans = mix(tmp_path / "dry", order(folders))
    for item in plans["test"]:
        x = read(tmp_path / "dry" / "test" / item.folder)["voice"].astype(float)
        y = soundfile.read(tmp_path / "voices" / item.voice)[0]
        assert np.corrcoef(x, y)[0, 1] > 0.9999
        z = soundfile.read(tmp_path / "noises" / item.noise)[0][: RATE // 2]
        start = read(tmp_path / "dry" / "test" / item.folder)["noise"][: RATE // 2]
        assert np.corrcoef(start, z)[0, 1] > 0.99
        assert item.room == ""
    folders["rooms"] = str(tmp_path / "rooms")
    wet = mix(tmp_path / "wet", order(folders))["test"]
    assert {item.room for item in wet} < {"r1.wav", "r2.wav", "r3.wav"}
    x, y = (
        read(tmp_path / tree / "test" / "0001")["voice"].astype(float) for tree in ("wet", "dry")
    )
    assert 0.5 < np.corrcoef(x, y)[0, 1] < 0.999


def test_the_same_seed_gives_the_same_bytes_and_another_others(tmp_path, folders, monkeypatch):
    made = order(folders)
    one, two = tmp_path / "one", tmp_path / "two"
    mix(one, made)
    mix(two, made)
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) > 40
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
    monkeypatch.setattr(unmixed, "SEED", 1)
    mix(tmp_path / "three", made)
    plan = "test/groups.csv"
    assert (one / plan).read_bytes() != (tmp_path / "three" / plan).read_bytes()


def test_an_interrupted_run_is_continued(tmp_path, folders, monkeypatch):
    made = order(folders)
    whole = mix(tmp_path / "whole", made)
    write, count = mixing.audio.write, 0

    def stop(*arguments):
        nonlocal count
        count += 1
        if count == 8:  # within the third triplet
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(mixing.audio, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        mix(tmp_path / "tree", made)
    assert len(list((tmp_path / "tree/valid").iterdir())) == 2 + 1  # and the plan
    before = snapshot(tmp_path / "tree" / "valid")
    monkeypatch.undo()
    assert mix(tmp_path / "tree", made) == whole
    after = snapshot(tmp_path / "tree")
    assert all(after[path] == before[path] for path in before if path.name != "groups.csv")
    for path, (data, _) in snapshot(tmp_path / "whole").items():
        assert (tmp_path / "tree" / path.relative_to(tmp_path / "whole")).read_bytes() == data


def test_a_test_set_never_changes_silently(tmp_path, folders):
    made = order(folders)
    planned = mix(tmp_path / "tree", made)["test"]
    before = snapshot(tmp_path / "tree" / "test")
    put(tmp_path / "voices" / planned[0].speaker / "9.wav", voice(77))
    with pytest.raises(UserError, match=r"groups.csv: lists triplets that were made of other"):
        mix(tmp_path / "tree", made)
    assert snapshot(tmp_path / "tree" / "test") == before


def test_new_voices_for_training_leave_valid_and_test_as_they_are(tmp_path, folders):
    made = order(folders)
    where = {r.file.owner: r.file.split for r in recordings(made)}
    planned = mix(tmp_path / "tree", made)
    speaker = next(name for name, split in where.items() if split == "train" and name[0] == "s")
    put(tmp_path / "voices" / speaker / "9.wav", voice(77))
    assert mix(tmp_path / "tree", made) == planned


def test_speakers_and_noises_come_in_turn(tmp_path, monkeypatch):
    """As many speakers and noises as there are, none before the others; up to the largest set."""
    monkeypatch.setitem(mixing.LARGEST, "test", 9)
    for i, files in enumerate((1, 2, 7)):
        for k in range(files):
            put(tmp_path / "v" / "test" / f"s{i}" / f"{k}.wav", voice(10 * i + k))
    put(tmp_path / "v" / "train" / "a" / "0.wav", voice(90))
    put(tmp_path / "v" / "valid" / "b" / "0.wav", voice(91))
    make_noises(tmp_path / "n" / "test", 3)
    put(tmp_path / "n" / "train" / "a.wav", noise(90))
    put(tmp_path / "n" / "valid" / "b.wav", noise(91))
    made = order({"voices": str(tmp_path / "v"), "noises": str(tmp_path / "n")})
    planned = mixing.plan("test", recordings(made), SNRS, 0)
    assert len(planned) == 9
    assert {item.speaker for item in planned[:3]} == {"s0", "s1", "s2"}
    assert Counter(item.speaker for item in planned) == {"s0": 1, "s1": 2, "s2": 6}
    assert Counter(item.noise for item in planned) == {f"test/n{i}.flac": 3 for i in (1, 2, 3)}
    assert all(item.group == item.noise for item in planned)


def test_long_recordings_give_segments_with_speech_only(tmp_path):
    """20 s, of which the segments from 4 to 8 and from 16 s on are speech."""
    x = np.zeros(20 * RATE)
    x[4 * RATE : 8 * RATE] = voice(0, 4)
    x[16 * RATE :] = voice(1, 4)
    made = {"voices": tmp_path / "v", "noises": tmp_path / "n"}
    for seed, split in enumerate(("test", "train", "valid")):
        put(made["voices"] / split / split / "0.wav", np.roll(x, seed))
        put(made["noises"] / split / f"{split}.wav", noise(seed, 10))
    made = order({name: str(path) for name, path in made.items()})
    planned = mixing.plan("test", recordings(made), [0.0], 0)
    assert sorted(item.voice_start for item in planned) == [4 * RATE, 16 * RATE]
    assert {item.voice_frames for item in planned} == {4 * RATE}
    assert {item.noise_frames for item in planned} == {4 * RATE}


def test_a_noise_with_one_event_is_taken_there(tmp_path):
    x = np.zeros(60 * RATE)
    x[41 * RATE : 41 * RATE + 400] = noise(0, 0.05)
    for seed, split in enumerate(("test", "train", "valid")):
        put(tmp_path / "v" / split / split / "0.wav", voice(seed))
        put(tmp_path / "n" / split / f"{split}.wav", np.roll(x, seed))
    made = order({"voices": str(tmp_path / "v"), "noises": str(tmp_path / "n")})
    for seed in range(5):
        for item in mixing.plan("test", recordings(made), SNRS, seed):
            assert 39 * RATE < item.noise_start < 41 * RATE + 410


def test_the_rate_is_the_lowest_of_the_files(tmp_path, folders):
    for path in (tmp_path / "voices").rglob("*.wav"):
        put(path, voice(int(path.parent.name[1:]) + 100 * int(path.stem)), 16000)
    plans = mix(tmp_path / "tree", order(folders))
    for item in plans["test"]:
        for path in (tmp_path / "tree" / "test" / item.folder).iterdir():
            about = soundfile.info(path)
            assert (about.samplerate, about.frames) == (RATE, RATE)  # one second at 16 kHz


def test_no_speech_is_one_line(tmp_path, folders):
    for path in (tmp_path / "voices").rglob("*.wav"):
        put(path, voice(int(path.parent.name[1:]) + 100 * int(path.stem), 0.4))
    with pytest.raises(
        UserError, match=r"--voices: expected in valid at least 0.5 s with 30% spee"
    ):
        mix(tmp_path / "tree", order(folders))


def test_the_plan_says_what_a_triplet_is_made_of(tmp_path, folders):
    planned = mix(tmp_path / "tree", order(folders))["valid"]
    with open(tmp_path / "tree/valid/groups.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["folder"] for row in rows] == [item.folder for item in planned]
    assert [row["speaker"] for row in rows] == [item.speaker for item in planned]
    assert all((tmp_path / "voices" / row["voice"]).is_file() for row in rows)
    assert sources.VOICES.owner in rows[0]

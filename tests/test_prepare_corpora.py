"""Stage 0 over trees in the layouts of public corpora: every file, every source, every fault."""

import shutil
import sys
from functools import partial
from pathlib import Path

import corpus_trees
import numpy as np
import pytest
import soundfile
from corpus_trees import LENGTH, pair, write
from triplet_trees import make_tree, snapshot, table

from local import prepare
from local.base.errors import UserError
from local.corpus import manifest

SPLITS = ("train", "valid", "test")

LAYOUTS = {
    # a name: the maker of the tree, its --corpus as recognised, rate, options
    "voicebank_demand": (corpus_trees.voicebank_demand, "voicebank_demand:28spk", 48000, ()),
    "voicebank_demand 16k": (
        partial(corpus_trees.voicebank_demand, speakers="56spk", rate=16000, end="_16k", log=False),
        "voicebank_demand:56spk_16k", 16000, (),
    ),
    "ms_snsd": (corpus_trees.ms_snsd, "ms_snsd:mixtures", 16000, ()),
    "ms_snsd without test": (
        partial(corpus_trees.ms_snsd, test=False), "ms_snsd:mixtures", 16000, (),
    ),
    "librimix": (
        corpus_trees.librimix, "librimix:wav16k/min/single", 16000,
        ("--corpus", "librimix:wav16k/min/single"),
    ),
    "librimix both": (
        partial(corpus_trees.librimix, place="", both=True), "librimix:both", 8000,
        ("--corpus", "librimix:both"),
    ),
    "wham": (
        corpus_trees.wham, "wham:wav8k/min/single", 8000, ("--corpus", "wham:wav8k/min/single"),
    ),
    "wham both": (
        partial(corpus_trees.wham, both=True), "wham:wav8k/min/both", 8000,
        ("--corpus", "wham:wav8k/min/both"),
    ),
    "whamr": (
        partial(corpus_trees.wham, place="wav16k/max", ending="_reverb"),
        "whamr:wav16k/max/single_reverb", 8000, ("--corpus", "whamr:wav16k/max/single_reverb"),
    ),
    "dns": (corpus_trees.dns, "dns:no_reverb", 16000, ("--corpus", "dns:no_reverb")),
    "dns one test set": (
        partial(corpus_trees.dns, noise=False, reverb=("with_reverb",)), "dns:with_reverb", 16000,
        (),
    ),
    "dns without test": (partial(corpus_trees.dns, reverb=(), train=""), "dns", 16000, ()),
    "musdb": (corpus_trees.musdb, "musdb", 44100, ("--channel", "1")),
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(monkeypatch, *arguments):
    """Stage 0 with these options, of the tree ``corpus``."""
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--data", "corpus", *map(str, arguments)])
    prepare.main()


def read(split):
    return manifest.read(f"data/corpus/{split}.csv")


@pytest.mark.parametrize("case", LAYOUTS)
def test_every_layout_gives_its_sources(case, monkeypatch, capsys):
    make, name, rate, options = LAYOUTS[case]
    made, before = make(Path("corpus")), snapshot(Path("corpus"))
    run(monkeypatch, *options)
    assert snapshot(Path("corpus")) == before
    assert table("data/corpus/rejected.csv") == []
    assert f"({name})" in capsys.readouterr().out
    found = {}
    for split in SPLITS:
        examples = read(split)
        assert len(examples)
        for i in range(len(examples)):
            row = examples.row(i)
            assert (row.sample_rate, row.num_samples) == (rate, LENGTH)
            held = split if (split, row.id) in made else "train"  # valid and test may be held out
            found[held, row.id] = examples.sources(i)
            rest = examples.mix(i) - examples.sources(i).sum(0)
            assert np.abs(rest).max() <= 1 / 32768
            snr = 10 * np.log10(np.divide(*np.sum(examples.sources(i).astype(float) ** 2, 1)))
            assert row.measured_snr_db == pytest.approx(snr, abs=2e-3)
    assert set(found) == set(made)
    for key, sources in made.items():
        np.testing.assert_allclose(found[key], sources, atol=1.01 / 32768)


def rows(split):
    examples = read(split)
    return {examples.row(i).id: examples.row(i) for i in range(len(examples))}


def test_voicebank_levels_and_groups_are_those_of_the_log(monkeypatch):
    corpus_trees.voicebank_demand(Path("corpus"))
    run(monkeypatch)
    test = rows("test")
    assert {row.snr_db for row in test.values()} == {2.5, 7.5, 12.5, 17.5}
    assert test["p232_001"].measured_snr_db == pytest.approx(0.5, abs=0.01)
    assert {row.group for row in test.values()} == {"bus", "office"}
    assert test["p232_001"].noise == ""
    speakers = [{row.group for row in rows(split).values()} for split in ("train", "valid")]
    assert speakers[0].isdisjoint(speakers[1])
    assert len(speakers[0] | speakers[1]) == 8


def test_voicebank_without_logs_is_measured(monkeypatch):
    corpus_trees.voicebank_demand(Path("corpus"), log=False)
    run(monkeypatch)
    for row in rows("test").values():
        assert row.snr_db == row.measured_snr_db
        assert row.group == row.id[:4]


def test_a_damaged_log_is_named(monkeypatch):
    corpus_trees.voicebank_demand(Path("corpus"))
    Path("corpus/logfiles/log_testset.txt").write_text("p232_001 bus 2.5\np232_002 bus loud\n")
    with pytest.raises(UserError, match=r"log_testset.txt, line 2: expected .*found p232_002 bus"):
        run(monkeypatch)


def test_ms_snsd_finds_the_level_of_the_clean_file(monkeypatch, capsys):
    corpus_trees.ms_snsd(Path("corpus"))
    run(monkeypatch)
    both = rows("train") | rows("valid")
    quiet, loud = (both[f"noisy1_SNRdb_{x}_clnsp1"] for x in ("0.0", "13.333333333333334"))
    assert quiet.voice_gain == pytest.approx(0.5, rel=1e-3)
    assert (loud.voice_gain, loud.noise_gain) == (1, 1)
    assert (quiet.snr_db, loud.snr_db) == (0, 13.3)
    assert quiet.group == loud.group == "clnsp1"
    assert "12 mixtures hold voice or noise at another level" in capsys.readouterr().out


def test_ms_snsd_sources_are_mixed_in_training_and_once_for_the_rest(monkeypatch, capsys):
    corpus_trees.ms_snsd_sources(Path("corpus"))
    before = snapshot(Path("corpus"))
    run(monkeypatch)
    assert snapshot(Path("corpus")) == before
    printed = capsys.readouterr().out
    assert (
        "MS-SNSD (ms_snsd:sources); training mixes them; valid and test are mixed once" in printed
    )
    assert "such as all of clean_test, counts as one speaker" in printed
    assert "nothing of valid" in printed
    train = list(rows("train").values())
    assert {row.group for row in train if row.voice} < {f"p{226 + i}" for i in range(6)}
    noises = {row.noise for row in train if row.noise}
    assert noises < {f"noises:noise_train/Babble_{i + 1}.wav" for i in range(6)}
    first = read("train").source(0, "voice")
    np.testing.assert_array_equal(
        first, soundfile.read("corpus/clean_train/p226_001.wav", dtype="float32")[0]
    )
    plans = {
        split: table(f"data/corpus/triplets/{split}/groups.csv") for split in ("valid", "test")
    }
    assert {line["voice"] for line in plans["test"]} == {
        f"clean_test/clnsp{i}.wav" for i in range(3)
    }
    assert all(line["noise"].startswith("noise_test/") for line in plans["test"])
    assert all(line["noise"].startswith("noise_train/") for line in plans["valid"])
    assert not {line["speaker"] for line in plans["valid"]} & {row.group for row in train}
    assert not {f"noises:{line['noise']}" for line in plans["valid"]} & noises
    for split, plan in plans.items():
        assert len(read(split)) == len(plan)


def test_sources_and_mixtures_in_one_folder_ask_which(monkeypatch):
    corpus_trees.ms_snsd_sources(Path("corpus"))
    corpus_trees.ms_snsd(Path("corpus"))
    with pytest.raises(UserError, match="ms_snsd:mixtures, ms_snsd:sources; say which"):
        run(monkeypatch)


def test_an_snr_that_is_not_that_of_the_name_is_rejected_where_it_is_of_the_file(monkeypatch):
    corpus_trees.ms_snsd(Path("corpus"))
    place = Path("corpus/noisy_test")
    wrong = place / "AirConditioner_1_1_SNRdb10_clnsp1.wav"
    wrong.rename(place / "AirConditioner_1_1_SNRdb20_clnsp1.wav")
    run(monkeypatch)
    (row,) = table("data/corpus/rejected.csv")
    assert row["reason"] == "SNR is not that of the name"


def test_librimix_metadata_name_what_is_missing(monkeypatch, capsys):
    corpus_trees.librimix(Path("corpus"))
    gone = next(Path("corpus/wav16k/min/test/mix_single").iterdir())
    gone.unlink()
    run(monkeypatch, "--corpus", "librimix:wav16k/min/single", "--max-rejected", 20)
    (row,) = table("data/corpus/rejected.csv")
    assert (row["file"], row["reason"]) == (gone.name, "missing file")
    assert "metadata" not in row["found"]
    assert f"wav16k/min/test/mix_single/{gone.name}: expected" in capsys.readouterr().out


def test_two_speakers_are_one_voice_and_it_is_said(monkeypatch, capsys):
    corpus_trees.wham(Path("corpus"), both=True)
    run(monkeypatch, "--corpus", "wham:wav8k/min/both")
    row = read("test").row(0)
    assert len(manifest.files(row.voice)) == 2
    assert "voice: the sum of both speakers" in capsys.readouterr().out


def test_musdb_in_stereo_asks_for_a_channel(monkeypatch):
    corpus_trees.musdb(Path("corpus"))
    with pytest.raises(UserError, match="nothing is left of train"):
        run(monkeypatch)
    assert "--channel 1" in table("data/corpus/rejected.csv")[0]["expected"]


def test_songs_without_a_validation_track_hold_one_out(monkeypatch, capsys):
    corpus_trees.musdb(Path("corpus"))
    Path("corpus/train/Meaxic - Take A Step").rename("corpus/train/Meaxic - Give A Step")
    run(monkeypatch, "--channel", 0)
    assert "valid (groups of train): " in capsys.readouterr().out
    assert len(read("train")) + len(read("valid")) == 3


# --- faults ---------------------------------------------------------------------------------


def only_fault(monkeypatch, *options):
    run(monkeypatch, "--max-rejected", 50, *options)
    (row,) = table("data/corpus/rejected.csv")
    return "/".join((row["folder"], row["file"])), row["reason"], row["expected"], row["found"]


def test_a_noisy_file_without_its_clean_partner(monkeypatch):
    corpus_trees.voicebank_demand(Path("corpus"))
    Path("corpus/clean_testset_wav/p232_001.wav").unlink()
    assert only_fault(monkeypatch) == (
        "clean_testset_wav/p232_001.wav", "missing file",
        "a partner of noisy_testset_wav/p232_001.wav", "no such file",
    )  # fmt: skip
    assert "p232_001" not in rows("test")


def test_lengths_that_differ(monkeypatch):
    corpus_trees.voicebank_demand(Path("corpus"))
    write(Path("corpus/noisy_testset_wav/p232_001.wav"), pair(0)[0][:-1], 48000)
    assert only_fault(monkeypatch) == (
        "noisy_testset_wav/p232_001.wav", "lengths differ",
        f"{LENGTH} samples as clean_testset_wav/p232_001.wav", f"{LENGTH - 1} samples",
    )  # fmt: skip


def other_voice(path):
    write(path, pair(77)[0], 48000)


def half_the_voice(path):
    write(path, soundfile.read(path, dtype="int16")[0] * 2, 48000)


def the_mixture(path):
    write(path, soundfile.read(str(path).replace("clean", "noisy"), dtype="int16")[0], 48000)


def a_hole(path):
    x, rate = soundfile.read(path)
    x[5] = np.nan
    soundfile.write(path, x, rate, subtype="FLOAT")


@pytest.mark.parametrize(
    ("breaker", "reason", "found"),
    [
        (other_voice, "mixture is not the sum", "another voice, or one at another level"),
        (half_the_voice, "mixture is not the sum", "another voice, or one at another level"),
        (the_mixture, "silent voice or noise", "less than 1 step of 16 bits"),
        (lambda path: write(path, np.zeros(LENGTH), 48000), "silent voice or noise", "less than"),
        (lambda path: write(path, pair(0)[0], 16000), "sample rates differ", "48000 Hz"),
        (a_hole, "NaN or infinite samples", "nan at sample 5"),
        (lambda path: path.write_bytes(b"words"), "not a wav", "words"),
    ],
)
def test_what_is_wrong_with_a_clean_file(breaker, reason, found, monkeypatch):
    corpus_trees.voicebank_demand(Path("corpus"))
    breaker(Path("corpus/clean_testset_wav/p257_004.wav"))
    _, said, _, seen = only_fault(monkeypatch)
    assert said == reason
    assert found in seen


def test_a_song_without_a_stem_and_one_that_is_not_their_sum(monkeypatch):
    corpus_trees.musdb(Path("corpus"))
    Path("corpus/test/Arise - Run Run Run/bass.wav").unlink()
    place = "test/Arise - Run Run Run"
    path, reason, _, _ = only_fault(monkeypatch, "--channel", 0)
    assert (path, reason) == (f"{place}/bass.wav", "missing file")
    write(Path("corpus", place, "bass.wav"), np.stack([pair(66)[0]] * 2, 1), 44100)
    path, reason, _, _ = only_fault(monkeypatch, "--channel", 0)
    assert (path, reason) == (f"{place}/mixture.wav", "mixture is not the sum")


@pytest.mark.parametrize("name", ["loud", "a_snr1.2.3_tl-30_fileid_0", "a_snr_tl-30_fileid_0"])
def test_a_name_that_says_nothing(name, monkeypatch):
    corpus_trees.dns(Path("corpus"), reverb=("no_reverb",))
    write(Path(f"corpus/training/noisy/{name}.wav"), pair(0)[0])
    path, reason, _, _ = only_fault(monkeypatch)
    assert (path, reason) == (f"training/noisy/{name}.wav", "name that cannot be read")


def test_one_example_twice(monkeypatch):
    made = corpus_trees.dns(Path("corpus"), reverb=("no_reverb",))
    write(Path("corpus/training/noisy/other_snr0_tl-30_fileid_0.wav"), pair(0)[0])
    _, reason, _, found = only_fault(monkeypatch)
    assert (reason, found) == ("duplicate id", "fileid_0")
    assert len(rows("train") | rows("valid")) == sum(split == "train" for split, _ in made)


@pytest.mark.parametrize(
    ("folders", "match"),
    [
        (
            ["clean_trainset_28spk_wav", "noisy_trainset_28spk_wav", "noisy_testset_wav"],
            r"expected train/ and test/.*found clean_trainset_28spk_wav, .*nearest corpus:"
            r" VoiceBank-DEMAND \(--corpus voicebank_demand\), which is .*clean_testset_wav",
        ),
        (["Libri2Mix", "LibriSpeech"], r"nearest corpus: LibriMix \(--corpus librimix\)"),
        (["tr", "cv"], "nearest corpus: WHAM! .*tr/, cv/, tt/"),
        (["NoisySpeech_training", "CleanSpeech_train"], "nearest corpus: MS-SNSD"),
        (["noisy", "clean"], "nearest corpus: DNS challenge"),
        (["photographs"], "found photographs$"),
        ([], "found no folders$"),
    ],
)
def test_an_unknown_layout_names_the_nearest_corpus(folders, match, monkeypatch):
    Path("corpus").mkdir()
    for folder in folders:
        (Path("corpus") / folder).mkdir()
    with pytest.raises(UserError, match=match):
        run(monkeypatch)
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("wham", r"--corpus wham: .*expected wav8k/min/.*tr/, cv/, tt/.*found train, test"),
        ("voicebank", "--corpus voicebank: expected triplets, .*did you mean 'voicebank_demand'"),
    ],
)
def test_a_corpus_that_is_not_there(name, match, monkeypatch):
    make_tree(Path("corpus"), {"train": 1, "test": 1})
    with pytest.raises(UserError, match=match.replace("train, test", "test, train")):
        run(monkeypatch, "--corpus", name)


def test_triplets_by_name(monkeypatch):
    make_tree(Path("corpus"), {"train": 4, "test": 1})
    run(monkeypatch, "--corpus", "triplets")
    assert len(read("test")) == 1


def test_several_parts_ask_which(monkeypatch):
    corpus_trees.wham(Path("corpus"))
    with pytest.raises(
        UserError,
        match="holds wham:wav8k/min/single, wham:wav8k/min/both; say which: --corpus wham:wav8k",
    ):
        run(monkeypatch)
    with pytest.raises(UserError, match=r"--corpus wham:tripled: .* holds wham:wav8k/min/single"):
        run(monkeypatch, "--corpus", "wham:tripled")
    run(monkeypatch, "--corpus", "wham:wav8k/min/single")
    with pytest.raises(UserError, match=r"corpus is the name of wham:wav8k/min/single .*--name"):
        run(monkeypatch, "--corpus", "wham:wav8k/min/both")


def test_two_songs_of_one_id(monkeypatch):
    corpus_trees.musdb(Path("corpus"))
    shutil.copytree("corpus/test/Arise - Run Run Run", "corpus/test/Arise  - Run Run Run")
    path, reason, _, found = only_fault(monkeypatch, "--channel", 0)
    assert (path, reason) == ("test/Arise - Run Run Run", "duplicate id")
    assert found == "Arise_-_Run_Run_Run"


def test_packed_songs_are_named(monkeypatch):
    for split in ("train", "test"):
        Path("corpus", split).mkdir(parents=True)
        Path("corpus", split, "A - B.stem.mp4").touch()
    with pytest.raises(UserError, match="expected MUSDB18-HQ, whose tracks are folders of wavs"):
        run(monkeypatch)

"""What a folder of triplets is good for: each fault alone, names, formats, gains."""

import shutil

import numpy as np
import pytest
import soundfile
from faulty_triplets import (
    FAULTS,
    MIX,
    add_residual,
    break_wav,
    constant,
    cut,
    shorter,
    sources,
    write_floats,
)
from triplet_trees import RATE, make_folder, scale, signals, write

from local.corpus.sums import fit
from local.corpus.triplets import look, scan
from local.corpus.wav import Fault

LENGTH = RATE // 2


@pytest.fixture
def folder(tmp_path):
    """``train/0007``, without a fault, at 0 dB."""
    return make_folder(tmp_path / "train" / "0007", "0", seed=7)


def look_at(folder, channel=None):
    return look(folder.parent.parent, folder.parent.name, folder.name, channel)


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_a_rejection(case, folder):
    breaker, file, reason, found = FAULTS[case]
    breaker(folder)
    seen = look_at(folder)
    (rejection,) = seen.rejections
    assert seen.examples == []
    assert seen.mixtures == 1
    assert rejection[:4] == ("train", "0007", file, reason)
    assert rejection.expected
    assert found in rejection.found
    assert rejection.found != rejection.expected


def test_two_faulty_files_are_both_named(folder):
    cut(folder, "noise.wav", 0.5)
    break_wav(folder, MIX, b"")
    assert [r.file for r in look_at(folder).rejections] == ["noise.wav", MIX]


def test_an_unreadable_folder_is_a_rejection(folder):
    seen = look_at(folder.with_name("0099"))
    assert (seen.mixtures, seen.examples) == (1, [])
    assert seen.rejections[0].reason == "unreadable file"


def test_folders_in_numeric_order(tmp_path):
    for folder in ("10", "9", "0100", "1", "0002"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    assert scan(tmp_path, "train") == (["1", "0002", "9", "10", "0100"], [])


# --- several mixtures, names ----------------------------------------------------------------


def several(folder, snrs):
    """``train/0013``, one mixture per SNR, the noise at another level in each."""
    folder = folder.with_name("0013")
    folder.mkdir(parents=True)
    voice, noise = signals(3, LENGTH)
    write(folder / "voice.wav", voice)
    write(folder / "noise.wav", noise)
    for snr in snrs:
        write(folder / f"mix_snr_{snr}.wav", voice + scale(voice, noise, float(snr)))
    return folder


def test_spellings_of_the_snr(folder):
    folder = several(folder, ["5", "+10", "-5", "0.1", "02", "-0.9", ".8"])
    seen = look_at(folder)
    assert seen.rejections == []
    rows = [row for row, _ in seen.examples]
    spelt = ["-5", "-0.9", "0.1", ".8", "02", "5", "+10"]
    assert [row.id for row in rows] == [f"0013_{xx}" for xx in spelt]
    assert [row.snr_db for row in rows] == [-5, -0.9, 0.1, 0.8, 2, 5, 10]
    assert rows[0].mix == "train/0013/mix_snr_-5.wav"
    for row in rows:
        assert row.measured_snr_db == pytest.approx(row.snr_db, abs=0.05)


def test_one_mixture_at_fault_leaves_the_others(folder):
    folder = several(folder, ["-5", "0", "5", "10", "15"])
    cut(folder, "mix_snr_-5.wav", 0.5)
    shorter(folder, "mix_snr_5.wav")
    write(folder / "mix_snr_10.wav", sum(signals(1, LENGTH)))
    seen = look_at(folder)
    assert seen.mixtures == 5
    assert [row.id for row, _ in seen.examples] == ["0013_0", "0013_15"]
    assert {r.file: r.reason for r in seen.rejections} == {
        "mix_snr_-5.wav": "truncated",
        "mix_snr_5.wav": "lengths differ",
        "mix_snr_10.wav": "mixture is not the sum",
    }


def test_a_mixture_of_nan_leaves_the_others(folder):
    folder = several(folder, ["0", "5"])
    write_floats(folder / "mix_snr_0.wav", np.full(LENGTH, np.nan))
    seen = look_at(folder)
    assert [row.id for row, _ in seen.examples] == ["0013_5"]
    assert [r.reason for r in seen.rejections] == ["NaN or infinite samples"]


def test_a_fault_of_the_voice_is_told_once(folder):
    folder = several(folder, ["0", "5", "10"])
    constant(folder, "voice.wav", 0)
    seen = look_at(folder)
    assert (seen.mixtures, seen.examples) == (3, [])
    assert [r.file for r in seen.rejections] == ["voice.wav"]


@pytest.mark.parametrize("twin", ["mix_snr_+0.wav", "mix_snr_0.0.wav", "mix_snr_00.wav"])
def test_two_mixtures_at_one_snr_are_one(twin, folder):
    shutil.copy(folder / MIX, folder / twin)
    seen = look_at(folder)
    assert [row.id for row, _ in seen.examples] == ["0007_0"]
    assert [(r.file, r.reason) for r in seen.rejections] == [(twin, "duplicate id")]


def test_extension_in_capitals(folder):
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(".WAV"))
    seen = look_at(folder)
    assert [row.voice for row, _ in seen.examples] == ["train/0007/voice.WAV"]
    assert seen.rejections == []


# --- formats --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        {"subtype": "PCM_24"},
        {"subtype": "FLOAT"},
        {"subtype": "DOUBLE"},
        {"subtype": "PCM_16", "format": "WAVEX"},
        {"subtype": "PCM_16", "format": "RF64"},
        {"subtype": "PCM_16", "format": "WAV", "endian": "BIG"},
    ],
)
def test_every_kind_of_wav(form, folder):
    for path in folder.iterdir():
        x, rate = soundfile.read(path)
        soundfile.write(path, x, rate, **form)
    seen = look_at(folder)
    assert seen.rejections == []
    assert seen.examples[0][1].voice_gain == 1
    cut(folder, "voice.wav", 0.9)
    assert [r.reason for r in look_at(folder).rejections] == ["truncated"]


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"])
def test_a_header_written_to_a_pipe_promises_nothing(size, folder):
    path = folder / "voice.wav"
    data = path.read_bytes()
    path.write_bytes(data[:40] + size + data[44:])
    assert look_at(folder).rejections == []


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
def test_no_damage_is_a_traceback(form, folder):
    """Bytes of the header changed at random, and files cut anywhere in it."""
    path = folder / "voice.wav"
    voice, _ = sources(folder)
    soundfile.write(path, voice, RATE, format=form)
    data, rng, reasons = path.read_bytes(), np.random.default_rng(0), set()
    for trial in range(300):
        damaged = bytearray(data)
        if trial % 3:
            for place in rng.integers(0, 110 if form == "RF64" else 44, trial % 4 + 1):
                damaged[place] = rng.integers(256)
        else:
            damaged = damaged[: trial // 3]
        path.write_bytes(damaged)
        reasons |= {rejection.reason for rejection in look_at(folder).rejections}
    assert {"truncated", "not a wav", "empty", "sample rates differ"} <= reasons


def test_longer_than_one_block(tmp_path, monkeypatch):
    monkeypatch.setattr("local.corpus.sums.BLOCK", 1000)
    make_folder(tmp_path / "train" / "1", "5", length=3501)
    ((row, fit),) = look(tmp_path, "train", "1").examples
    assert row.num_samples == 3501
    assert (fit.voice_gain, fit.noise_gain) == (1, 1)
    path = tmp_path / "train" / "1" / "voice.wav"
    x, rate = soundfile.read(path)
    x[2345] = np.nan
    write_floats(path, x, rate=rate)
    (rejection,) = look(tmp_path, "train", "1").rejections
    assert rejection.found == "nan at sample 2345"


def test_a_channel_of_several(folder):
    rng = np.random.default_rng(0)
    for path in folder.iterdir():
        x, rate = soundfile.read(path, dtype="int16")
        other = rng.integers(-3000, 3000, len(x)).astype(np.int16)
        soundfile.write(path, np.stack([other, x], 1), rate)
    assert "--channel 1" in look_at(folder).rejections[0].expected
    ((row, _),) = look_at(folder, 1).examples
    assert (row.num_samples, row.voice_gain, row.noise_gain) == (LENGTH, 1, 1)
    assert [r.reason for r in look_at(folder, 0).rejections] == ["mixture is not the sum"]
    beyond = look_at(folder, 2).rejections
    assert {r.found for r in beyond} == {"2 in all"}
    assert len(beyond) == 3


# --- gains ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(0.5, 2.0), (3.0, 0.01), (1.0, 0.25), (1.25e-3, 1.25e-3)])
def test_gains_are_found(a, b, folder):
    voice, noise = (x / 32768 for x in sources(folder))
    snr = 10 * np.log10(np.sum((a * voice) ** 2) / np.sum((b * noise) ** 2))
    (folder / MIX).unlink()
    write_floats(folder / f"mix_snr_{snr:.1f}.wav", a * voice + b * noise)
    ((row, _),) = look_at(folder).examples
    assert row.voice_gain == pytest.approx(a, rel=1e-5)
    assert row.noise_gain == pytest.approx(b, rel=1e-5)
    assert row.measured_snr_db == pytest.approx(snr, abs=1e-3)


def test_rounding_is_not_a_gain(folder):
    for path in folder.iterdir():
        x, rate = soundfile.read(path, dtype="int16")
        write(path, np.rint(0.1 * x), rate)
    ((row, _),) = look_at(folder).examples
    assert (row.voice_gain, row.noise_gain) == (1, 1)


@pytest.mark.parametrize("residual", [-45, -35, -21, -19])
def test_residual(residual, folder):
    add_residual(folder, residual)
    seen = look_at(folder)
    if residual > -20:
        assert [r.reason for r in seen.rejections] == ["mixture is not the sum"]
        assert f"residual of {residual:.1f} dB" in seen.rejections[0].found
    else:
        ((_, found),) = seen.examples
        assert found.residual_db == pytest.approx(residual, abs=0.01)


def gram(*rows):
    x = np.array(rows, dtype=float)
    return x @ x.T


def test_fit_by_algebra():
    voice, noise = [1.0, 0, 0, 0], [0, 2.0, 0, 0]
    found = fit(gram(voice, noise, [3.0, 4.0, 0, 0]), 4)
    assert found[:2] == (3, 2)
    assert found.snr_db == pytest.approx(10 * np.log10(9 / 16))
    assert found.residual_db == -200
    found = fit(gram(voice, noise, [3.0, 4.0, 0.05, 0]), 4)
    assert found.residual_db == pytest.approx(10 * np.log10(0.0025 / 25.0025))


def test_fit_of_sources_that_are_alike():
    voice = np.random.default_rng(0).standard_normal(100)
    noise = 0.5 * voice
    assert fit(gram(voice, noise, voice + noise), 100)[:2] == (1, 1)
    with pytest.raises(Fault, match="one and the same"):
        fit(gram(voice, noise, 2 * voice), 100)
    nearly = noise + 1e-3 * np.random.default_rng(1).standard_normal(100)
    found = fit(gram(voice, nearly, 2 * voice + 3 * nearly), 100)
    assert found[:2] == pytest.approx((2, 3), rel=1e-5)

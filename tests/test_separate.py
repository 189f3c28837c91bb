"""The program winnow and its Python function: recordings in, voice and noise out."""

import io
import os
import sys

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from local import separate
from local.base.errors import UserError
from local.model import separators

RATE = 8000  # the toy's


def write(path, frames=5000, channels=1, rate=RATE, peak=0.5, **options):
    samples = np.random.default_rng(0).uniform(-peak, peak, (frames, channels))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return soundfile.read(path, always_2d=True)[0]


def read(path):
    return soundfile.read(path, always_2d=True)[0]


def files(folder="."):
    return sorted(
        os.path.relpath(os.path.join(at, name), folder)
        for at, _, names in os.walk(folder)
        for name in names
    )


def test_voice_and_noise_beside_the_recording(winnow):
    x = write("noisy.wav", 5001, 2)
    code, [line] = winnow("noisy.wav")
    assert code == 0
    assert line.startswith("winnow: toy (")
    assert line.endswith("toy.pth), 8000 Hz, on cpu")
    assert files() == ["noisy.wav", "noisy_noise.wav", "noisy_voice.wav"]
    np.testing.assert_allclose(read("noisy_voice.wav"), 0.75 * x, atol=2**-16 + 1e-7)
    np.testing.assert_allclose(read("noisy_noise.wav"), 0.25 * x, atol=2**-16 + 1e-7)


def test_options_may_stand_between_recordings_and_names_behind_two_dashes(winnow):
    for name in ("a.wav", "b.wav", "-c.wav"):
        write(name)
    assert winnow("a.wav", "--out", "d", "b.wav", "--sources", "voice", "--", "-c.wav")[0] == 0
    assert files("d") == ["-c_voice.wav", "a_voice.wav", "b_voice.wav"]


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 3])
def test_at_any_rate_the_outputs_sum_to_the_input(rate, channels, winnow):
    x = write("a.flac", 4001, channels, rate, subtype="PCM_24")
    assert winnow("a.flac")[0] == 0
    total = read("a_voice.flac") + read("a_noise.flac")
    np.testing.assert_allclose(total, x, atol=2**-23)
    assert soundfile.info("a_voice.flac").samplerate == rate


def test_64_channels(winnow):
    x = write("a.wav", 700, 64, subtype="FLOAT")
    assert winnow("a.wav")[0] == 0
    np.testing.assert_allclose(read("a_voice.wav"), 0.75 * x, atol=1e-6)


def test_mono_rate_format_and_sources(winnow):
    x = write("a.wav", 4001, 2, subtype="PCM_24")
    words = ("a.wav", "--mono", "--sources", "noise", "--out", "out", "--overwrite")
    assert winnow(*words)[0] == 0
    assert files("out") == ["a_noise.wav"]
    np.testing.assert_allclose(read("out/a_noise.wav")[:, 0], 0.25 * x.mean(1), atol=2**-23)
    assert winnow(*words, "--rate", "16000", "--format", "flac", "--subtype", "pcm_16")[0] == 0
    info = soundfile.info("out/a_noise.flac")
    assert (info.samplerate, info.frames, info.channels) == (16000, 8002, 1)
    assert (info.format, info.subtype) == ("FLAC", "PCM_16")


def test_levels_are_kept_and_a_gain_against_clipping_is_that_of_all_outputs(winnow):
    x = write("a.wav", peak=0.9)
    code, lines = winnow("a.wav", "--model", "free")
    peak = 2 * np.abs(x).max()
    assert code == 0
    assert lines[1:] == [f"winnow: a.wav: {-20 * np.log10(peak):.2f} dB on all its outputs,"
                         " which would clip in PCM_16"]  # fmt: skip
    np.testing.assert_allclose(read("a_voice.wav"), 2 / peak * x, atol=2**-15)
    np.testing.assert_allclose(read("a_noise.wav"), 0.5 / peak * x, atol=2**-15)
    code, lines = winnow("a.wav", "--model", "free", "--subtype", "FLOAT", "--overwrite")
    assert len(lines) == 1
    np.testing.assert_allclose(read("a_voice.wav"), 2 * x, atol=1e-6)


def test_full_scale_is_no_clipping(winnow):
    soundfile.write("a.wav", np.array([-1.0, 32767 / 32768] * 50), RATE)
    assert len(winnow("a.wav", "--remix", 0, 0)[1]) == 1
    np.testing.assert_array_equal(read("a_remix.wav"), read("a.wav"))


def test_attenuation_limit_and_remix(winnow):
    x = write("a.wav", subtype="FLOAT")
    assert winnow("a.wav", "--attenuation-limit", 6)[0] == 0
    left = 10 ** (-6 / 20)
    np.testing.assert_allclose(read("a_voice.wav"), (0.75 + left * 0.25) * x, atol=1e-6)
    np.testing.assert_allclose(read("a_noise.wav"), (1 - left) * 0.25 * x, atol=1e-6)
    assert winnow("a.wav", "--remix", 3, -20)[0] == 0
    expected = (0.75 * 10 ** (3 / 20) + 0.25 * 0.1) * x
    np.testing.assert_allclose(read("a_remix.wav"), expected, atol=1e-6)


def test_what_the_model_cannot_hear_goes_where_it_is_asked_to(winnow):
    """The toy's rate is 8 kHz; of what it hears, 3 kHz, nine tenths of the energy are voice."""
    time = np.arange(48000) / 48000
    low, high = (0.3 * np.sin(2 * np.pi * f * time) for f in (3000, 9000))
    soundfile.write("a.wav", low + high, 48000, "FLOAT")
    for way, share in (((), 0.9), (("--above", "noise"), 0), (("--above", "voice"), 1)):
        assert winnow("a.wav", "--overwrite", *way)[0] == 0
        voice = 0.75 * low + share * high
        inner = slice(4800, -4800)
        made, rest = (read(f"a_{source}.wav")[:, 0] for source in ("voice", "noise"))
        np.testing.assert_allclose(made[inner], voice[inner], atol=1e-3)
        np.testing.assert_allclose(made + rest, low + high, atol=1e-6)
    assert winnow("a.wav", "--above", "both")[0] == 2


def test_a_folder_with_broken_recordings(winnow):
    write("in/a.wav")
    write("in/sub/b.flac")
    write("in/nan.wav", subtype="FLOAT")
    samples = read("in/nan.wav")
    samples[4000] = np.nan
    soundfile.write("in/nan.wav", samples, RATE, "FLOAT")
    soundfile.write("in/none.wav", samples[:0], RATE)
    with open("in/text.wav", "w") as file:
        file.write("not a sound")
    code, lines = winnow("in", "--out", "out")
    assert code == 1
    assert files("out") == ["a_noise.wav", "a_voice.wav", "sub/b_noise.flac", "sub/b_voice.flac"]
    assert lines[1:] == [
        "winnow: in/nan.wav: holds samples that are NaN or infinite, the first at 0.500 s",
        "winnow: in/none.wav: holds no samples",
        "winnow: in/text.wav: cannot be read (Format not recognised.)",
        "winnow: 3 of 5 recordings could not be separated",
    ]


def test_what_is_there_is_an_error_unless_it_is_said_what_to_do(winnow):
    write("a.wav")
    write("b.wav")
    assert winnow("a.wav")[0] == 0
    before = os.stat("a_voice.wav").st_mtime_ns
    code, [line] = winnow("a.wav", "b.wav")
    assert code == 2
    assert "a_voice.wav: exists already (and 1 more)" in line
    assert not os.path.exists("b_voice.wav")
    code, lines = winnow(".", "--skip-existing")
    assert code == 0
    assert lines[0] == "winnow: 1 of 2 recordings were separated before"
    assert os.path.exists("b_voice.wav")
    assert os.stat("a_voice.wav").st_mtime_ns == before
    assert winnow(".", "--skip-existing") == (
        0, ["winnow: 2 of 2 recordings were separated before"],
    )  # fmt: skip
    assert winnow("a.wav", "--overwrite")[0] == 0
    assert os.stat("a_voice.wav").st_mtime_ns != before


def test_a_recording_with_the_name_of_an_output_is_not_left_out_silently(winnow):
    for name in ("a.wav", "a_voice.wav", "a_noise.wav"):
        write(name)
    code, lines = winnow("a.wav", "a_voice.wav", "a_noise.wav", "--out", "out")
    assert code == 0
    assert files("out") == ["a_noise.wav", "a_voice.wav"]
    assert lines[0].startswith("winnow: a_voice.wav (and 1 more): left out, for the name is that")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "expected an INPUT"),
        (["no.wav"], "no.wav: no such file"),
        (["empty"], "empty: holds no recordings"),
        (["a.wav", "--model", "oracle"], "oracle is an oracle"),
        (["a.wav", "--model", "tou"], "unknown model 'tou'; did you mean 'toy'"),
        (["a.wav", "--model", "a.wav"], "a.wav: not a model file of winnow"),
        (["a.wav", "--device", "mps"], "--device mps: there is none here; found cpu"),
        (["a.wav", "--device", "gpu"], "argument --device: invalid choice: 'gpu'"),
        (["a.wav", "--overwrit"], "--overwrit; did you mean '--overwrite'"),
        (["a.wav", "--overwrite", "--skip-existing"], "exclude each other"),
        (["a.wav", "--sources", "voice,drums"], "expected voice or noise, found 'voice,drums'"),
        (["a.wav", "--remix", "0"], "argument --remix: expected 2 arguments"),
        (["a.wav", "--remix", "0", "loud"], "expected a number of dB, found 'loud'"),
        (["a.wav", "--remix", "0", "nan"], "expected a number of dB, found 'nan'"),
        (["a.wav", "--remix", "1000", "0"], "--remix: expected dB up to 300, found '1000'"),
        (["a.wav", "--remix", "0", "0", "--sources", "voice"], "--remix excludes --sources"),
        (["a.wav", "--attenuation-limit", "-3"], "expected dB from 0, found '-3'"),
        (["a.wav", "--rate", "1"], "expected 1000 to 768000 Hz, found '1'"),
        (["a.wav", "--format", "flak"], "unknown --format 'flak'; did you mean 'flac'"),
        (["a.wav", "--subtype", "pcm16"], "unknown --subtype 'pcm16'; did you mean 'pcm_16'"),
        (["a.wav", "--out", "a.wav"], "--out a.wav: expected a folder"),
        (["a.wav", "--pcm", "s16le"], "--pcm is for standard input"),
        (["-", "--pcm", "s17le"], "expected FORMAT[:RATE[:CHANNELS]] such as s16le:48000:2"),
        (["-", "a.wav"], "- (standard input) excludes any other INPUT"),
        (["-", "--sources", "voice,noise"], "standard output takes only one of --sources"),
        (["a.wav", "--stream"], "--stream reads standard input"),
    ],
)
def test_what_is_wrong_before_any_work_is_one_line(words, expected, winnow):
    write("a.wav")
    os.mkdir("empty")
    code, [line] = winnow(*words)
    assert code == 2
    assert expected in line
    assert files() == ["a.wav"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--format", "flac", "--subtype", "float"], "cannot be written as FLAC FLOAT; choose"),
        (["--subtype", "vorbis"], "as WAV VORBIS; choose another with --subtype or --format"),
        (["--format", "ogg", "--subtype", "opus", "--rate", "11025"], "OGG OPUS of 1 channels at"),
        (["--out", "a.wav/below"], "cannot be written (Not a directory: a.wav/below)"),
    ],
)
def test_what_cannot_be_written_is_one_line(words, expected, winnow):
    write("a.wav")
    code, lines = winnow("a.wav", *words)
    assert code == 1
    assert len(lines) == 2
    assert expected in lines[1]
    assert files() == ["a.wav"]


def test_a_folder_that_may_not_be_written_to(winnow, monkeypatch):
    """Root may write everywhere: the system's answer is put in its place."""
    write("a.wav")

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied", "out")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    code, lines = winnow("a.wav", "--out", "out")
    assert (code, lines[1:]) == (1, ["winnow: a.wav: cannot be written (Permission denied: out)"])


def test_an_interruption_leaves_no_file(winnow, monkeypatch):
    write("a.wav")

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("local.separation.recordings._tag", interrupt)
    code, lines = winnow("a.wav")
    assert code == 130
    assert "interrupted" in lines[-1]
    assert files() == ["a.wav"]


def piped(winnow, monkeypatch, *words, stdin):
    """Standard output's bytes."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    code, lines = winnow("-", *words, stdin=stdin)
    assert code == 0, lines
    return out.getvalue()


def test_standard_input_and_output(winnow, monkeypatch):
    x = write("a.wav", channels=2)
    with open("a.wav", "rb") as file:
        wav = file.read()
    cut = wav[:4] + b"\xff" * 4 + wav[8:40] + b"\xff" * 4 + wav[44:]  # as a pipe's writer leaves it
    for stdin in (wav, cut):
        y, rate = soundfile.read(io.BytesIO(piped(winnow, monkeypatch, stdin=stdin)))
        assert rate == RATE
        np.testing.assert_allclose(y, 0.75 * x, atol=2**-15)
    raw = piped(winnow, monkeypatch, "--pcm", "s16le:8000:2", "--sources=noise", stdin=wav[44:])
    noise = np.frombuffer(raw, "<i2").reshape(-1, 2) / 32768
    np.testing.assert_allclose(noise, 0.25 * x, atol=2**-15)
    assert winnow("-", "--out", "out", stdin=wav)[0] == 0
    assert files("out") == ["stdin_noise.wav", "stdin_voice.wav"]


def test_samples_are_not_written_to_a_terminal(winnow, monkeypatch):
    write("a.wav")
    with open("a.wav", "rb") as file:
        wav = file.read()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, [line] = winnow("-", stdin=wav)
    assert code == 2
    assert line.startswith("winnow: standard output is a terminal: redirect it")
    assert winnow("-", "--out", "out", stdin=wav)[0] == 0


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [(b"", "-: standard input is empty"), (b"text", "-: cannot be read (Format not recognised.)")],
)
def test_faults_of_standard_input(stdin, expected, winnow):
    code, lines = winnow("-", stdin=stdin)
    assert (code, lines[1:]) == (1, [f"winnow: {expected}"])


@settings(max_examples=20, deadline=None)
@given(
    st.integers(3, 3000), st.integers(0, 3), st.sampled_from([1000, 8000, 22050, 44100, 96000]),
    st.sampled_from(["f4", "f8"]), st.booleans(),
)  # fmt: skip
def test_arrays_and_tensors(length, channels, rate, kind, as_tensor):
    """The voice of the mixture recipe is the mixture; there is nothing to load."""
    shape = (channels, length) if channels else (length,)
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(kind)
    mix = torch.from_numpy(x) if as_tensor else x
    estimates = separate.separate(mix, rate, HALF, device="cpu")
    assert list(estimates) == ["voice", "noise"]
    for estimate in estimates.values():
        assert type(estimate) is type(mix)
        assert (estimate.shape, estimate.dtype) == (mix.shape, mix.dtype)
    np.testing.assert_allclose(estimates["voice"] + estimates["noise"], x, atol=1e-5)
    if rate == 8000:
        np.testing.assert_allclose(estimates["voice"], x / 2, atol=1e-6)


class Half(torch.nn.Module):
    """(batch, time) -> (batch, source, time), half for each."""

    def forward(self, mix):
        return torch.stack((mix / 2, mix / 2), 1)


HALF = separators.Separator(Half(), "half", RATE, "project").eval()


def test_the_function_and_the_program_agree(winnow):
    x = write("a.wav", 3001, 2, 44100, subtype="FLOAT")
    assert winnow("a.wav")[0] == 0
    estimates = separate.separate(x.T, 44100)
    for source in ("voice", "noise"):
        np.testing.assert_allclose(estimates[source], read(f"a_{source}.wav").T, atol=1e-6)


@pytest.mark.parametrize(
    ("mix", "rate", "expected"),
    [
        (np.zeros(0, "f4"), RATE, r"at least one; found float32 \(0,\)"),
        (np.zeros((2, 3, 4), "f4"), RATE, r"found float32 \(2, 3, 4\)"),
        (np.zeros(5, "i2"), RATE, r"expected floating-point samples .* found int16"),
        (np.array([0.0, np.nan]), RATE, "NaN or infinite, the first at 0.000 s"),
        (np.zeros(5, "f4"), 1, "expected a rate from 1000 to 768000 Hz, found 1"),
        (np.zeros(5, "f4"), 8000.5, "found 8000.5"),
    ],
)
def test_what_the_function_refuses(mix, rate, expected):
    with pytest.raises(UserError, match=expected):
        separate.separate(mix, rate, HALF)

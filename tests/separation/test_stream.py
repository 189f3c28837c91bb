"""``winnow --stream``: raw samples through a live separator, and how it ends."""

import io
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from local import ROOT, SOURCES, separate
from local.base.errors import UserError
from local.model import checkpoint, separators, windows
from local.separation import stream
from local.separation.recordings import Pcm

PROGRAM = [sys.executable, "-m", "local.separate", "--stream"]


class Dribble(io.BytesIO):
    """A pipe that gives 1001 bytes at a time."""

    def read1(self, size=-1):
        return self.read(1001)


@pytest.fixture(scope="module")
def separator():
    network = separators.build("lstm_complex", "tiny").network
    with torch.no_grad():  # as one that was trained: it lets most of the mixture through
        network.mask.bias[: len(network.mask.bias) // 2] = 0.9
    return separators.Separator(network, "lstm_complex", 16000, "difference").eval()


@pytest.fixture(scope="module")
def model(separator, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "best_model.pth"
    checkpoint.save(path, separator, {})
    return str(path)


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def whole(separator, mix):
    with torch.inference_mode():
        return separator(mix).numpy()


def through(separator, data, pcm, sources=SOURCES[:1]):
    sink = io.BytesIO()
    stream.run(separator, Dribble(data), sink, pcm, sources)
    return sink.getvalue()


def test_floats_are_the_offline_estimates(separator):
    mix = noise(1, 5001)
    out = through(separator, mix.numpy().tobytes(), Pcm("f32le"))
    np.testing.assert_allclose(np.frombuffer(out, "<f4"), whole(separator, mix)[0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "kind", "full"), [("s16le", "<i2", 2**15), ("s32le", "<i4", 2**31)]
)
def test_integers_are_rounded_estimates(separator, name, kind, full):
    samples = np.rint(noise(1, 5001).numpy() * full).astype(kind)
    out = np.frombuffer(through(separator, samples.tobytes(), Pcm(name)), kind)
    expected = whole(separator, torch.from_numpy((samples / full).astype(np.float32)))[0, 0]
    np.testing.assert_allclose(out / full, expected, atol=1e-6 + 0.5 / full)


def test_channels_of_a_source_stand_together(separator):
    mix = noise(2, 3001)
    data = np.ascontiguousarray(mix.numpy().T).tobytes()
    out = through(separator, data, Pcm("f32le", None, 2), SOURCES)
    found = np.frombuffer(out, "<f4").reshape(3001, 2, 2)  # time, source, channel
    np.testing.assert_allclose(found.transpose(2, 1, 0), whole(separator, mix), atol=1e-6)


def test_what_is_said(separator, capsys):
    through(separator, noise(1, 16000).numpy().tobytes() + b"\0", Pcm("f32le"))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "winnow: latency: at most 32 ms plus computing"
    assert said[1] == "winnow: the last 1 bytes are not a whole sample of f32le; left out"
    assert said[2].startswith("winnow: real-time factor 0.") or "factor" in said[2]
    assert said[2].endswith(" s for 1.0 s)")


def test_clipping_is_said(separator, capsys):
    square = np.full(8000, 32767, "<i2")
    square[::2] = -32768
    with torch.no_grad():
        louder = separators.Separator(separator.network, "lstm_complex", 16000).eval()
        before = louder.network.mask.bias.clone()
        louder.network.mask.bias *= 2
    out = np.frombuffer(through(louder, square.tobytes(), Pcm()), "<i2")
    louder.network.mask.bias.data = before
    assert {out.min(), out.max()} == {-32768, 32767}
    assert "dB above full scale; --pcm f32le keeps it" in capsys.readouterr().err


def test_no_input_is_no_output(separator):
    assert through(separator, b"", Pcm()) == b""


def test_another_rate_is_that_of_a_file(separator, capsys):
    mix = noise(1, 10001)
    data = mix.numpy().tobytes()
    for way in ("follow", "noise"):
        sink = io.BytesIO()
        stream.run(separator, Dribble(data), sink, Pcm("f32le", 48000), SOURCES[:1], way)
        expected = windows.estimate(separator, mix[0].numpy(), 48000, way=way)[0]
        np.testing.assert_allclose(np.frombuffer(sink.getvalue(), "<f4"), expected, atol=1e-5)
    # 32 ms, the filters of both changes of rate, and what a share looks ahead
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "winnow: latency: at most 54 ms plus computing"
    assert said[2] == "winnow: latency: at most 41 ms plus computing"


def test_samples_that_are_not_finite_are_refused(separator):
    with pytest.raises(UserError, match="not finite"):
        through(separator, np.full(9, np.nan, "<f4").tobytes(), Pcm("f32le"))


def test_a_wav_file_is_refused(separator):
    with pytest.raises(UserError, match="is a wav file, and --stream takes samples without a head"):
        through(separator, b"RIFF" + bytes(40), Pcm())


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (Pcm(rate=10), "--pcm: expected 1000 to 768000 Hz, found 10 Hz"),
        (Pcm(rate=768001), "--pcm: expected 1000 to 768000 Hz, found 768001 Hz"),
        (Pcm(channels=513), "--pcm: expected at most 1024 channels, .* found 513 for each"),
    ],
)
def test_a_format_out_of_range_is_refused(pcm, expected, separator):
    with pytest.raises(UserError, match=expected):
        through(separator, bytes(10000), pcm, SOURCES)


@pytest.mark.parametrize("words", [["--mono"], ["--attenuation-limit", "0"]])
def test_options_of_files_are_refused(words, model, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["winnow", "--stream", "--model", model, *words])
    with pytest.raises(SystemExit) as ended:
        separate.main()
    assert ended.value.code == 2
    expected = f"winnow: {words[0]} is for recordings, not for --stream\n"
    assert capsys.readouterr().err == expected


def test_a_closed_standard_input(model, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["winnow", "--stream", "--model", model])
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it after <&-
    with pytest.raises(SystemExit) as ended:
        separate.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "winnow: standard input is closed\n"


def test_the_program(separator, model):
    mix = noise(1, 20001)
    command = [*PROGRAM, "--model", model, "--pcm", "f32le:16000", "--sources", "noise"]
    done = subprocess.run(command, input=mix.numpy().tobytes(), capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = np.frombuffer(done.stdout, "<f4")
    np.testing.assert_allclose(found, whole(separator, mix)[0, 1], atol=1e-5)


@pytest.mark.parametrize("how", ["closed", "interrupted"])
def test_the_program_ends_in_lines(model, how):
    child = subprocess.Popen(
        [*PROGRAM, "--model", model], cwd=ROOT, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    child.stdin.write(bytes(32000))
    assert child.stdout.read(1000)  # it runs
    if how == "closed":
        child.stdout.close()
        child.stdin.write(bytes(32000))
        child.stdin.close()
    else:
        child.send_signal(signal.SIGINT)
    said = child.stderr.read().decode()
    assert child.wait() == {"closed": 2, "interrupted": 130}[how]
    assert "Traceback" not in said
    assert "Exception" not in said
    assert ("standard output was closed" in said) == (how == "closed")
    assert "real-time factor" in said
    for stream_ in (child.stdin, child.stdout, child.stderr):
        stream_.close()

"""Public tools with trained weights: in time, exact around networks that do nothing, live."""

import numpy as np
import pytest
import torch
from conftest import bare, extras
from test_recipes import marked

from local import ROOT
from local.base import audio
from local.base.errors import UserError
from local.model import separators
from local.separation.live import Live

NAMES = ("deepfilternet", "dtln", "gtcrn", "hush", "nsnet2", "rnnoise")
TOOLS = [marked(name) for name in NAMES]
LIVE = [marked(name) for name in NAMES if name != "nsnet2"]


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def speech(rate):
    samples, found = audio.read(ROOT / "egs_data" / "test" / "0001" / "voice.wav")
    return torch.from_numpy(audio.resample(samples, found, rate)).unsqueeze(0)


@pytest.fixture
def stand_in(tmp_path):
    """A function that builds a recipe around networks that change nothing."""
    pytest.importorskip("onnxruntime")
    onnx_files = pytest.importorskip("onnx_files")
    memory = (1, 2, 128, 2)

    def gtcrn(path):
        shapes = {"mix": (1, 257, 1, 2), "a": (2, 1, 16, 16, 33), "b": (2, 3, 1, 1, 16),
                  "c": (2, 1, 33, 16)}  # fmt: skip
        nodes = ["Identity mix y", "Identity a d", "Identity b e", "Identity c f"]
        return onnx_files.write(path, nodes, shapes, ["y", "d", "e", "f"])

    def dtln(path):
        first, second = path / "model_1.onnx", path / "model_2.onnx"
        onnx_files.write(first, ["Mul x zero o", "Add o one y", "Identity m n"],
                         {"x": (1, 1, 257), "m": memory}, ["y", "n"],
                         {"zero": 0.0, "one": 1.0})  # fmt: skip
        onnx_files.write(second, ["Mul x quarter y", "Identity m n"],
                         {"x": (1, 1, 512), "m": memory}, ["y", "n"],
                         {"quarter": 0.25})  # fmt: skip
        return path

    def nsnet2(path):
        nodes = ["Mul x zero o", "Add o one y"]
        return onnx_files.write(path, nodes, {"x": (None, None, 161)}, ["y"],
                                {"zero": 0.0, "one": 1.0})  # fmt: skip

    makers = {"gtcrn": gtcrn, "dtln": dtln, "nsnet2": nsnet2}
    return lambda name: separators.build(name, onnx=str(makers[name](tmp_path / name)))


@pytest.mark.parametrize("time", [1, 255, 256, 4001])
@pytest.mark.parametrize("name", ["gtcrn", "dtln", "nsnet2"])
def test_a_network_that_changes_nothing_gives_the_mixture(stand_in, name, time):
    mix = noise(2, time)
    voice = stand_in(name)(mix)[:, 0]
    torch.testing.assert_close(voice, mix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["gtcrn", "dtln"])
def test_such_a_network_runs_live(stand_in, name):
    mix = noise(2, 4001)
    live = Live(stand_in(name), channels=2)
    found = torch.cat([live.push(mix), live.finish()], -1)
    torch.testing.assert_close(found[:, 0], mix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["gtcrn", "dtln", "hush", "nsnet2"])
def test_a_file_that_is_not_there_is_one_line(name):
    pytest.importorskip("onnxruntime")
    with pytest.raises(UserError, match=r"no/such/place.*: expected an ONNX file, found nothing"):
        separators.build(name, onnx="no/such/place")


def test_a_network_of_another_tool_is_one_line(stand_in, tmp_path):
    stand_in("nsnet2")
    with pytest.raises(UserError, match=r"gtcrn refuses these settings: .*expected a network with"):
        separators.build("gtcrn", onnx=str(tmp_path / "nsnet2"))


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_the_voice_is_in_time_with_the_mixture(name, rate):
    mix = speech(rate)
    tool = separators.network_class(name, separators.config.read(name)["class"])
    voice = tool(sample_rate=rate)(mix)[:, 0]
    assert voice.shape == mix.shape
    spectra = torch.fft.rfft(torch.stack((voice, mix)), 2 * mix.shape[-1])
    cross = torch.fft.irfft(spectra[0] * spectra[1].conj())
    late = (cross.argmax() + mix.shape[-1]) % (2 * mix.shape[-1]) - mix.shape[-1]
    assert abs(late) <= rate / 16000 / 2  # Hush's filter itself is late by a third of a sample


@pytest.mark.parametrize("name", TOOLS)
def test_white_noise_is_removed_and_what_is_removed_is_the_noise(name):
    separator = separators.build(name)
    mix = noise(1, 2 * separator.sample_rate)
    estimates = separator(mix)
    torch.testing.assert_close(estimates.sum(1), mix, rtol=0, atol=1e-6)
    voice, rest = estimates[0, :, separator.sample_rate :].square().mean(-1)
    assert voice < 0.05 * rest


@pytest.mark.parametrize("name", TOOLS)
def test_an_example_starts_anew(name):
    separator = separators.build(name)
    mix = speech(separator.sample_rate)[:, : separator.sample_rate]
    first = separator(mix)
    assert torch.equal(separator(torch.cat((mix, mix))), torch.cat((first, first)))


@pytest.mark.parametrize("name", LIVE)
def test_live_is_the_whole_recording(name):
    separator = separators.build(name)
    mix = speech(separator.sample_rate)[:, : separator.sample_rate // 2 + 7]
    live = Live(separator)
    found = torch.cat([*(live.push(piece) for piece in mix.split(999, 1)), live.finish()], -1)
    torch.testing.assert_close(found, separator(mix), rtol=0, atol=1e-6)


def test_a_recipe_whose_package_has_what_clashes_uses_its_files_alone():
    assert set(bare()) <= set(extras())
    for name, pins in bare().items():
        assert pins, name


def test_samples_beyond_full_scale_are_not_clipped(stand_in):
    mix = torch.from_numpy(np.linspace(-3, 3, 5000, dtype=np.float32))[None]
    for name in ("gtcrn", "dtln", "nsnet2"):
        torch.testing.assert_close(stand_in(name)(mix)[:, 0], mix, rtol=0, atol=1e-5)

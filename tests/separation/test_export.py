"""Exported separators: the same estimates without winnow, or one line and no file."""

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import soundfile
import torch
import toy_recipes

from local import SOURCES
from local.base.errors import UserError
from local.model import checkpoint, separators
from local.model.separators import Separator
from local.separation import export

FORMS = list(export.SUFFIXES)
RECIPES = [
    "convtasnet",
    "dprnn",
    "lstm_tasnet",
    "blstm_complex",
    "lstm_complex",
    "dpcrn",
    "bsrnn",
    "tf_gridnet",
    "gtcrn_trainable",
]

BY_NUMPY = toy_recipes.PLAIN.replace(
    "return self.gains.unsqueeze(-1) * mix.unsqueeze(1)",
    "return torch.from_numpy(mix.detach().numpy()).unsqueeze(1) * self.gains.unsqueeze(-1)",
)
BY_LENGTH = toy_recipes.PLAIN.replace(
    "return self.gains",
    "length = mix.shape[-1]\n"
    "        return torch.tensor([1.0, 2.0 if length > 20000 else 1.0])[:, None] * self.gains",
)
COMPLEX = toy_recipes.PLAIN.replace(
    "return self.gains",
    "mix = torch.fft.irfft(torch.fft.rfft(mix), mix.shape[-1])\n        return self.gains",
)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(recipe, **changes):
    separator = separators.build(recipe, "tiny", **changes)
    if hasattr(separator.network, "fit"):
        with torch.no_grad():
            separator.network.fit([(noise(2, 4000), None)])
    return separator


@pytest.fixture
def toy(tmp_path, monkeypatch):
    def make(source):
        toy_recipes.make_recipe(tmp_path, "toy", source)
        toy_recipes.use_root(monkeypatch, tmp_path)
        return separators.build("toy")

    return make


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_an_exported_separator_is_the_separator(recipe, form, tmp_path):
    separator = build(recipe)
    path = tmp_path / "here" / "model"
    assert export.export(separator, path, form) < export.TOLERANCE
    opened = export._open_onnx(str(path)) if form == "onnx" else torch.jit.load(path)
    for shape in ((1, 3), (2, 12345)):  # not those of the trials
        mix = noise(*shape, seed=7)
        with torch.no_grad():
            expected, found = separator(mix), opened(mix)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [(401, 150), (512, 128), (7, 3)])
def test_any_transform_can_be_exported(sizes, form, tmp_path):
    window, hop = sizes
    separator = build("blstm_complex", window=window, hop=hop, shifts=1)
    export.export(separator, tmp_path / "model", form)


@pytest.mark.parametrize("form", FORMS)
def test_order_and_consistency_go_along(form, tmp_path):
    network = build("convtasnet").network
    for way in ("none", "project", "difference"):
        separator = Separator(network, "convtasnet", 16000, way, SOURCES[::-1]).eval()
        export.export(separator, tmp_path / way, form)


def test_what_the_file_says_of_itself(tmp_path):
    import onnxruntime

    expected = {"recipe": "mixture", "sample_rate": "16000", "sources": "voice,noise"}
    separator = separators.build("mixture", "tiny")
    export.export(separator, tmp_path / "model.onnx", "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert session.get_modelmeta().custom_metadata_map == expected
    export.export(separator, tmp_path / "model.pt", "torchscript")
    facts = dict.fromkeys(expected, "")
    torch.jit.load(tmp_path / "model.pt", _extra_files=facts)
    assert {key: value.decode() for key, value in facts.items()} == expected


@pytest.mark.parametrize("form", FORMS)
def test_the_example(form, tmp_path):
    """The program that the module shows runs, without winnow on the path."""
    separator = build("lstm_complex")
    export.export(separator, tmp_path / f"lstm_complex{export.SUFFIXES[form]}", form)
    mix = noise(1, 20001)
    soundfile.write(tmp_path / "noisy.wav", mix[0].numpy(), 16000, "FLOAT")
    examples = re.findall(r"::\n\n((?:    .*\n|\n)+)", export.__doc__)
    (example,) = (text for text in examples if export.SUFFIXES[form] in text)
    program = textwrap.dedent(example)
    assert len([line for line in program.splitlines() if line]) <= 10
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = separator(mix)[0]
    for name, estimate in zip(SOURCES, expected, strict=True):
        found, rate = soundfile.read(tmp_path / f"{name}.wav", dtype="float32")
        assert rate == 16000
        np.testing.assert_allclose(found, estimate, atol=1e-4)  # 16 bits


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", [BY_NUMPY, BY_LENGTH])
def test_what_tracing_would_freeze_is_refused(source, form, toy, tmp_path):
    with pytest.raises(UserError, match=rf"^toy cannot be exported to {form}: ") as refused:
        export.export(toy(source), tmp_path / "out" / "model", form)
    assert "\n" not in str(refused.value)
    assert not list((tmp_path / "out").iterdir())


def test_what_onnx_cannot_say_is_refused_quietly(toy, tmp_path, capfd):
    separator = toy(COMPLEX)
    with pytest.raises(UserError, match=r"^toy cannot be exported to onnx: .*fft"):
        export.export(separator, tmp_path / "model", "onnx")
    assert capfd.readouterr() == ("", "")
    export.export(separator, tmp_path / "model", "torchscript")


def test_an_oracle_is_refused(toy, tmp_path):
    with pytest.raises(UserError, match="toy is an oracle"):
        export.export(toy(toy_recipes.ORACLE), tmp_path / "model", "onnx")
    assert not (tmp_path / "model").exists()


def test_a_file_that_is_there_stays(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    with pytest.raises(UserError, match=r"model\.onnx: exists already"):
        export.export(None, path, "onnx")
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export.export(
            separators.build("mixture", "tiny"), tmp_path / "file" / "model", "torchscript"
        )


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(export.PACKAGES, "onnx", ("onnx", "onnx_of_nowhere"))
    with pytest.raises(UserError, match=r"onnx needs .* missing: onnx_of_nowhere$"):
        export.export(separators.build("mixture", "tiny"), tmp_path / "model", "onnx")


def test_the_program(tmp_path, monkeypatch, capsys):
    from local import separate

    separator = build("lstm_complex")
    checkpoint.save(tmp_path / "best_model.pth", separator, {})
    monkeypatch.chdir(tmp_path)
    argv = ["winnow", "export", "--model", "best_model.pth", "--format", "torchscript"]
    monkeypatch.setattr(sys, "argv", argv)
    separate.main()
    assert re.fullmatch(
        r"winnow: lstm_complex\.pt: lstm_complex \(best_model\.pth\) as torchscript, 16000 Hz;"
        r" in 5 trials its output differed by \S+ of the largest amplitude at most\n",
        capsys.readouterr().err,
    )
    mix = noise(1, 999)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load("lstm_complex.pt")(mix), separator(mix))

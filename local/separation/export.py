"""A separator in one file that runs without winnow, as ONNX or TorchScript.

    winnow export --model lstm_complex --format onnx

The file holds the whole separator, with its order of sources and mixture consistency: ``mix``
(batch, time) at the model's rate in, ``estimates`` (batch, source, time) out, any batch and time.
It is tested on mixtures of several lengths before it gets its name. To use it::

    import onnxruntime
    import soundfile

    mix, rate = soundfile.read("noisy.wav", dtype="float32")  # one channel
    model = onnxruntime.InferenceSession("lstm_complex.onnx")
    facts = model.get_modelmeta().custom_metadata_map
    assert rate == int(facts["sample_rate"])
    voice, noise = model.run(None, {"mix": mix[None]})[0][0]
    soundfile.write("voice.wav", voice, rate)
    soundfile.write("noise.wav", noise, rate)

and in TorchScript::

    import soundfile
    import torch

    mix, rate = soundfile.read("noisy.wav", dtype="float32")  # one channel
    facts = {"sample_rate": ""}
    model = torch.jit.load("lstm_complex.pt", _extra_files=facts)
    assert rate == int(facts["sample_rate"])
    voice, noise = model(torch.from_numpy(mix)[None])[0]
    soundfile.write("voice.wav", voice.numpy(), rate)
    soundfile.write("noise.wav", noise.numpy(), rate)
"""

import contextlib
import copy
import importlib.util
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.onnx import register_custom_op_symbolic
from torch.onnx.symbolic_helper import parse_args

from local import SOURCES
from local.base.disk import replace
from local.base.errors import Parser, UserError
from local.base.names import shown
from local.model import pretrained
from local.model.separators import PROBE_SECONDS, Separator

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}
PACKAGES = {"onnx": ("onnx", "onnxruntime"), "torchscript": ()}
OPSET = 18  # of ONNX: the first with Col2Im, which overlap-add becomes
TRIALS = ((1, 1), (1, 100), (2, 8000), (1, 27001), (3, 36789))  # batch, time in samples
TOLERANCE = 1e-5  # of the largest amplitude


def main() -> None:
    """Export what the command line names.

    Raises:
        UserError: see ``export`` and ``local.model.pretrained.open_model``.
    """
    parser = Parser(prog="winnow export", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model", metavar="NAME|DIR|FILE", help="as for winnow; default: the model that ships")
    add("--format", required=True, choices=list(SUFFIXES), help="what to write")
    add("--out", type=Path, metavar="FILE", help="default: the recipe's name, here")
    args = parser.parse_args()
    separator = pretrained.open_model(args.model, single="export")
    out = args.out or Path(separator.recipe + SUFFIXES[args.format])
    apart = export(separator, out, args.format)
    print(f"winnow: {shown(out)}: {separator.recipe} ({separator.infos['file']}) as {args.format},"
          f" {separator.sample_rate} Hz; in {len(TRIALS)} trials its output differed by"
          f" {apart:.0e} of the largest amplitude at most", file=sys.stderr)  # fmt: skip


def export(separator: Separator, path: Path, form: str) -> float:
    """Write a separator, atomically.

    Args:
        separator: in eval mode, on the CPU.
        path: the file, which must not exist.
        form: ``onnx`` or ``torchscript``.

    Returns:
        the largest difference from the separator's own output in ``TRIALS``, over the largest
        amplitude of that.

    Raises:
        UserError: the file exists or cannot be written; a package is missing; the format cannot
            express the network; the output differs by more than ``TOLERANCE``.
    """
    if path.exists():
        raise UserError(f"{path}: exists already; choose another with --out")
    missing = [name for name in PACKAGES[form] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{form} needs the packages {' and '.join(PACKAGES[form])}, as setup.cfg"
                        f" pins them under export; missing: {', '.join(missing)}")  # fmt: skip
    refusal = f"{separator.recipe} cannot be exported to {form}"
    facts = {"recipe": separator.recipe, "sample_rate": str(separator.sample_rate),
             "sources": ",".join(SOURCES)}  # fmt: skip
    write, run = {"onnx": (_write_onnx, _open_onnx),
                  "torchscript": (_write_torchscript, torch.jit.load)}[form]  # fmt: skip
    try:
        with replace(path) as temporary:
            try:
                with quiet(), torch.no_grad():
                    whole = Whole(copy.deepcopy(separator).requires_grad_(False))
                    write(whole.eval(), temporary, facts)
                    apart = difference(separator, run(str(temporary)))
            except (UserError, OSError):
                raise
            except Exception as error:  # whatever a network's code raises where it is traced
                raise UserError(f"{refusal}: {_reason(error)}") from error
            if not apart < TOLERANCE:
                raise UserError(f"{refusal}: its output would differ by {apart:.0e} of the largest"
                                " amplitude; it does not compute with torch alone, or"
                                " not alike at all lengths")  # fmt: skip
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    return apart


def difference(separator: Separator, other: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """The largest difference between two ways to separate noise, over the largest amplitude."""
    worst = 0.0
    for seed, shape in enumerate(TRIALS):
        mix = noise(*shape, seed=seed)
        expected, found = separator(mix), other(mix)
        if found.shape != expected.shape:
            return float("inf")
        apart = (found - expected).abs().max() / expected.abs().max()
        worst = max(worst, apart.nan_to_num(float("inf")).item())
    return worst


def noise(batch: int, time: int, seed: int = 0) -> torch.Tensor:
    """(batch, time) of white noise at -20 dBFS."""
    return 0.1 * torch.randn(batch, time, generator=torch.Generator().manual_seed(seed))


class Whole(nn.Module):
    """A separator that pads short inputs when it runs, not when it is traced."""

    def __init__(self, separator: Separator):
        super().__init__()
        self.separator = separator
        self.minimum = separator.minimum_length()

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        return self.separator(lengthened(mix, self.minimum))[..., : mix.shape[-1]]


@torch.jit.script_if_tracing
def lengthened(mix: torch.Tensor, minimum: int) -> torch.Tensor:
    """(batch, time), with zeros after it where it is shorter than ``minimum`` samples."""
    return F.pad(mix, [0, max(0, minimum - mix.shape[-1])])


def example(whole: Whole) -> torch.Tensor:
    """A mixture to trace with: too long for the separator's own padding."""
    return noise(2, int(1.5 * PROBE_SECONDS * whole.separator.sample_rate))


def _write_torchscript(whole: Whole, path: Path, facts: dict) -> None:
    traced = torch.jit.trace(whole, example(whole), check_trace=False)
    file = io.BytesIO()  # torch ends the process if a disk is full
    torch.jit.save(traced, file, _extra_files=facts)
    path.write_bytes(file.getbuffer())


def _write_onnx(whole: Whole, path: Path, facts: dict) -> None:
    import onnx

    register_custom_op_symbolic("aten::col2im", _col2im, OPSET)
    file = io.BytesIO()
    # dynamo=False: by tracing, as to TorchScript; Asteroid's functions are made for that
    torch.onnx.export(
        whole, (example(whole),), file, dynamo=False, opset_version=OPSET,
        input_names=["mix"], output_names=["estimates"],
        dynamic_axes={"mix": {0: "batch", 1: "time"}, "estimates": {0: "batch", 2: "time"}},
    )  # fmt: skip
    model = onnx.load_model_from_string(file.getvalue())
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@parse_args("v", "v", "v", "is", "is", "is")
def _col2im(g, x, size, kernel, dilation, padding, stride):
    """Overlap-add to a length that is not known yet, which torch's own translation refuses."""
    return g.op("Col2Im", x, size, kernel, dilations_i=dilation, pads_i=padding * 2,
                strides_i=stride)  # fmt: skip


def _open_onnx(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # faults are raised too
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return lambda mix: torch.from_numpy(session.run(None, {"mix": mix.numpy()})[0])


@contextlib.contextmanager
def quiet():
    """Nothing on standard output, where torch prints whole graphs, and no warnings."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(sink.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _reason(error: Exception) -> str:
    """The first line of an error, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]

"""Trained networks in ONNX files, which a package brings or a setting names."""

import importlib.metadata
import os
from pathlib import Path

import numpy as np
import onnxruntime

from local import ROOT
from local.base.errors import UserError
from local.base.file_kind import irregular


def locate(given: str | None, package: str, file: str, recipe: str) -> Path:
    """A file or folder of networks: the one that is given, or else that of a package.

    The package is not imported.

    Args:
        given: ``model.onnx`` of the settings; a relative path is from the checkout.
        package: on the package index.
        file: in the package, from where packages lie.
        recipe: that needs it.

    Raises:
        UserError: the package is not installed, or lacks the file; it does not matter if one is
            given.
    """
    if given is not None:
        return ROOT / Path(given).expanduser()
    try:
        found = Path(importlib.metadata.distribution(package).locate_file(file))
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{recipe} needs files of the package {package!r}: ./run.sh --model {recipe}"
            f" installs it; or name them as model.onnx in recipes/{recipe}/conf.yml"
        ) from None
    if not found.exists():
        raise UserError(
            f"{found}: not there; the package {package!r} is another than setup.cfg pins"
        )
    return found


class Network:
    """A network in an ONNX file, run on one thread.

    Its first input and output are what it works on; the others, if it has any, are what it
    remembers from one call to the next, in the same order.

    Args:
        path: of the file.
        shapes: of its inputs, in order; None stands for any size.

    Raises:
        UserError: missing, no regular file, no ONNX file.
        ValueError: other inputs.
    """

    def __init__(self, path: Path, shapes: list[tuple[int | None, ...]]):
        if what := irregular(path):
            raise UserError(f"{path}: expected an ONNX file, found {what}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # its warnings are for those who made the network
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common class but this
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{path}: cannot be read as an ONNX network ({reason})") from None
        inputs = self._session.get_inputs()
        found = [tuple(size if isinstance(size, int) else None for size in entry.shape)
                 for entry in inputs]  # fmt: skip
        if found != shapes:
            raise ValueError(f"{path}: expected a network with the inputs {shapes}, found {found}")
        self._names = [entry.name for entry in inputs]
        self._shapes = shapes

    def blank(self) -> list[np.ndarray]:
        """What it remembers before the first call: zeros."""
        return [np.zeros(shape, np.float32) for shape in self._shapes[1:]]

    def __call__(self, x: np.ndarray, memory: list) -> tuple[np.ndarray, list]:
        """Run it.

        Args:
            x: float32, of the shape of its first input.
            memory: of ``blank``, or of the call before.

        Returns:
            its first output; what it remembers.
        """
        out, *memory = self.run(x, *memory)
        return out, memory

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """All its outputs, of all its inputs, both in order."""
        return self._session.run(None, dict(zip(self._names, inputs, strict=True)))

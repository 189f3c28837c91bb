"""The model file that training writes: a plain dict that loads with ``weights_only=True``.

It has Asteroid's keys ``model_name, model_args, state_dict, infos``, so a recipe with a class and a
filterbank of Asteroid's also loads with ``BaseModel.from_pretrained`` and runs in
``asteroid-infer``.
The key ``winnow`` has: format, recipe, sample_rate (Hz), sources (names of the network's outputs,
in its order), mixture_consistency, provenance.
"""

import io
import math
import os
from pathlib import Path

import torch
from torch.torch_version import TorchVersion

from local import SOURCES
from local.base.audio import HIGHEST_RATE, LOWEST_RATE
from local.base.disk import replace
from local.base.errors import UserError

FORMAT = 1
KEYS = {"model_name": str, "model_args": dict, "state_dict": dict, "infos": dict, "winnow": dict}
WINNOW_KEYS = {"recipe": str, "sample_rate": int, "sources": list, "mixture_consistency": str,
               "provenance": dict}  # fmt: skip

FACTS = {"parameters": (int,), "macs_per_second": (int, float), "seed": (int,),
         "audio_seconds_seen": (int, float), "training_seconds": (int, float)}  # fmt: skip
"""Optional numbers under ``infos`` for reports, with their types."""


def save(path: Path | str, separator, infos: dict) -> None:
    """Write a Separator with ``infos`` about its training, atomically.

    ``infos["provenance"]`` goes under ``winnow``, where the Contracts want it.
    """
    network = separator.network
    infos = dict(infos)
    package = {
        "model_name": type(network).__name__,
        "model_args": _plain(network.get_model_args()),
        "state_dict": {k: v.detach().cpu().clone() for k, v in network.state_dict().items()},
        "winnow": {
            "format": FORMAT,
            "recipe": separator.recipe,
            "sample_rate": int(separator.sample_rate),
            "sources": list(separator.order),
            "mixture_consistency": separator.consistency,
            "provenance": _plain(infos.pop("provenance", {})),
        },
        "infos": _plain(infos),
    }
    write(path, package)


def write(path: Path | str, tree: dict) -> None:
    """Write tensors and plain types as torch does, atomically.

    Goes through memory, because on a full disk torch ends the process or hides the error. Synced
    to disk before it gets its name, because training continues from such a file.

    Raises:
        OSError: no room, or no place to write to.
    """
    data = io.BytesIO()
    torch.save(tree, data)
    with replace(path) as temporary, open(temporary, "wb") as file:
        file.write(data.getbuffer())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path | str) -> dict:
    """The dict of a checkpoint, on the CPU. Nothing but tensors and plain types is unpickled.

    Raises:
        UserError: no such file, not a checkpoint of winnow, or of another format; a field of the
            wrong type or out of range; weights that are not finite.
    """
    return _checked(_load(Path(path)), Path(path))


def read_weights(path: Path | str) -> dict:
    """What ``read`` returns, or the dict of a checkpoint of Asteroid's own.

    That has ``model_name`` and ``state_dict``, perhaps ``model_args`` and ``infos``, and no
    ``winnow``.

    Raises:
        UserError: as ``read``.
    """
    path = Path(path)
    package = _load(path)
    if not isinstance(package, dict) or "winnow" in package:
        return _checked(package, path)
    _expect({"model_args": {}} | package, {"model_name": str, "model_args": dict}, path)
    _expect(package, {"state_dict": dict}, path)
    _check_weights(package["state_dict"], path)
    return package


def _load(path: Path):
    if not path.is_file():
        raise UserError(f"{path}: no such model file; stage 1 makes it")
    try:
        with torch.serialization.safe_globals([TorchVersion]):  # a string, in Asteroid's infos
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise UserError(f"{path}: no permission to read it") from None
    except Exception as error:  # torch's unpickler raises almost anything on damaged bytes
        raise UserError(f"{path}: not a model file of winnow, or damaged") from error


def _checked(package, path: Path) -> dict:
    _expect(package, KEYS, path)
    winnow = package["winnow"]
    found = winnow.get("format")
    if type(found) is not int or found != FORMAT:
        raise UserError(f"{path}: expected format {FORMAT}, found {found!r}; train it again")
    _expect(winnow, WINNOW_KEYS, path)
    if sorted(map(str, winnow["sources"])) != sorted(SOURCES):
        found = winnow["sources"]
        raise UserError(f"{path}: expected the sources {list(SOURCES)}, found {found!r}")
    rate = winnow["sample_rate"]
    if type(rate) is bool or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(f"{path}: expected a sample_rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz,"
                        f" found {rate!r}")  # fmt: skip
    for key, kinds in FACTS.items():
        value = package["infos"].get(key)
        if value is not None and not (type(value) in kinds and 0 <= value < math.inf):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise UserError(f"{path}: infos: expected {key!r} as {names} from 0, found {value!r}")
    _check_weights(package["state_dict"], path)
    return package


def _check_weights(weights: dict, path: Path) -> None:
    _expect(weights, dict.fromkeys(weights, torch.Tensor), path)
    for name, weight in weights.items():
        if not _finite(weight):
            raise UserError(f"{path}: weight {name!r} holds NaN or infinite values; train it again")


def _finite(weight: torch.Tensor) -> bool:
    if weight.layout is not torch.strided or weight.is_quantized or weight.is_meta:
        return False  # of no recipe
    return bool(weight.isfinite().all())


def _expect(tree, kinds: dict, path: Path) -> None:
    for key, kind in kinds.items():
        if not isinstance(tree, dict) or not isinstance(tree.get(key), kind):
            raise UserError(f"{path}: not a model file of winnow"
                            f" (no {key!r} of type {kind.__name__})")  # fmt: skip


def _plain(tree):
    """Numbers of numpy, tuples and paths as types that ``weights_only`` and YAML both take."""
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_plain(value) for value in tree]
    if hasattr(tree, "item"):
        return tree.item()
    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    return str(tree)

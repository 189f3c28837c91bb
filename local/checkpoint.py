"""The file a training leaves: a plain dict that loads with ``weights_only=True``.

Asteroid's keys ``model_name, model_args, state_dict, infos``, so that a recipe with a class of
Asteroid's own also loads with ``BaseModel.from_pretrained`` and runs in ``asteroid-infer``, and
``winnow``: format, recipe, sample_rate (Hz), sources (names of the network's outputs, in its
order), mixture_consistency, provenance.
"""

import pickle
from pathlib import Path

import torch

from local import SOURCES
from local.errors import UserError
from local.experiment import replace

FORMAT = 1
KEYS = ("model_name", "model_args", "state_dict", "infos", "winnow")
WINNOW_KEYS = ("format", "recipe", "sample_rate", "sources", "mixture_consistency", "provenance")


def save(path: Path | str, separator, infos: dict) -> None:
    """Write a Separator with ``infos`` about its training; whole or not at all.

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
    with replace(path) as temporary:
        torch.save(package, temporary)


def read(path: Path | str) -> dict:
    """The dict of a checkpoint, on the CPU. Nothing but tensors and plain types is unpickled.

    Raises:
        UserError: no such file, not a checkpoint of winnow, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file; stage 1 makes it")
    try:
        package = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0][:80]
        raise UserError(f"{path}: not a model file of winnow ({reason})") from None
    missing = [key for key in KEYS if not isinstance(package, dict) or key not in package]
    if missing:
        raise UserError(f"{path}: not a model file of winnow (it has no {missing[0]!r})")
    winnow = package["winnow"]
    if not isinstance(winnow, dict) or winnow.get("format") != FORMAT:
        found = winnow.get("format") if isinstance(winnow, dict) else winnow
        raise UserError(f"{path}: expected format {FORMAT}, found {found!r}; train it again")
    missing = [key for key in WINNOW_KEYS if key not in winnow]
    if missing or sorted(winnow["sources"]) != sorted(SOURCES):
        raise UserError(f"{path}: damaged; expected {WINNOW_KEYS} and the sources {SOURCES}")
    return package


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

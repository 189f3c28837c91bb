"""Weights that a training starts from in place of random ones: what ``--init`` names.

    ./run.sh --model blstm_complex --data DIR --init blstm_complex

They may be those that ship with a recipe, those of an experiment, a model file of winnow, or a
checkpoint of Asteroid's for the class that the recipe uses. Names and shapes must agree with the
network that the settings make. What the network learnt without gradients (``fit``) is among them.
"""

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

from local import ROOT, SOURCES
from local.base import config
from local.base.errors import UserError
from local.base.names import shown
from local.model import checkpoint, pretrained

SHOWN = 5  # parameters that do not agree


class Start(NamedTuple):
    """Weights to start from.

    ``facts``: ``given`` (the word on the command line), ``file``, ``sha256``, ``model`` (the
    class), ``sources`` (names of the network's outputs, in its order) and ``provenance``, how the
    weights were made, which may have an ``init`` in turn: a chain (``experiment.starts``).
    ``package``: what the file holds, see local/model/checkpoint.py.
    """

    facts: dict
    package: dict


def read(word: str) -> Start:
    """The weights that a word names.

    Args:
        word: a recipe with weights that ship, the folder of an experiment, or a file.

    Raises:
        UserError: no such model, a recipe without weights, no model file.
    """
    path = pretrained.locate(word)
    if path is None:
        raise UserError(f"--init {word}: this recipe has no weights here; name an experiment's"
                        " folder or a model file")  # fmt: skip
    package = checkpoint.read_weights(path)
    winnow = package.get("winnow", {})
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    facts = {
        "given": word,
        "file": str(shown),
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "model": package["model_name"],
        "sources": list(winnow.get("sources", SOURCES)),
        "provenance": winnow.get("provenance", {}),
    }
    return Start(facts, package)


def put(separator, start: Start) -> None:
    """Give a separator the weights of ``start``.

    Raises:
        UserError: weights of another class; names or shapes that do not agree, of which the first
            few stand before it on standard error, a line for each.
    """
    network, package, head = separator.network, start.package, f"--init {start.facts['file']}"
    name = type(network).__name__
    if package["model_name"] != name:
        raise UserError(f"{head}: these are weights of {package['model_name']}, and"
                        f" {separator.recipe} trains {name}")  # fmt: skip
    own, given = network.state_dict(), package["state_dict"]
    faults = [f"{key}: expected {tuple(own[key].shape)}, found"
              f" {tuple(given[key].shape) if key in given else 'none'}"
              for key in own if key not in given or given[key].shape != own[key].shape]  # fmt: skip
    faults += [f"{key}: the network has none" for key in given if key not in own]
    other = _other_settings(network, package.get("model_args", {}))
    if faults:
        more = len(faults) - SHOWN
        for line in faults[:SHOWN] + ([f"and {more} more"] if more > 0 else []):
            print(shown(line), file=sys.stderr)
        why = f", which differ: {other}" if other else ""
        raise UserError(f"{head} does not fit {separator.recipe} with these settings{why};"
                        " set --model.* as there, or name other weights")  # fmt: skip
    network.load_state_dict(given)
    if other:
        print(f"{head} was trained with other settings of the network: {other}")


def _other_settings(network, given: dict) -> str:
    """Arguments that the network and the weights' were built with differently, in words."""
    own, given = config.flatten(network.get_model_args()), config.flatten(given)
    return ", ".join(f"{key} {given[key]} there, {value} here" for key, value in own.items()
                     if key in given and not _same(given[key], value))  # fmt: skip


def _same(one, other) -> bool:
    """Equal, but for the kind of sequence, which a checkpoint does not keep."""
    listed = [list(x) if isinstance(x, tuple) else x for x in (one, other)]
    return listed[0] == listed[1]

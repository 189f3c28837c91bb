"""Models by name: weights that ship with winnow, own experiments, recipes without weights.

``recipes/shipped.yml`` names the default recipes. A recipe's weights are
``recipes/<recipe>/pretrained/<name>.pth``, with a card beside them.
"""

from pathlib import Path

from local import ROOT
from local.base import config, disk, experiment
from local.base.errors import UserError, nearest

SEPARATOR = ","  # between the names of several models


def shipped(use: str = "default") -> dict[str, float]:
    """The default recipes for a use, from recipes/shipped.yml, each with its weight in the mean.

    Raises:
        UserError: the file names none; neither a recipe, nor a list of some, nor a mapping of
            recipes to numbers.
    """
    path = ROOT / "recipes" / "shipped.yml"
    found = disk.read_yaml(path).get(use)
    if found is None:
        raise UserError(f"{path}: names no recipe for {use!r}; choose one with --model")
    if isinstance(found, str):
        found = [found]
    if isinstance(found, list):
        found = dict.fromkeys(found, 1)
    right = isinstance(found, dict) and found
    right = right and all(isinstance(name, str) and type(weight) in (int, float)
                          for name, weight in found.items())  # fmt: skip
    if not right:
        raise UserError(f"{path}: {use!r} expects a recipe, a list of recipes, or recipes with a"
                        f" weight each, found {found!r}")  # fmt: skip
    return found


def default(use: str = "default") -> str:
    """The default for a use, as ``--model`` names it.

    Raises:
        UserError: see ``shipped``.
    """
    return SEPARATOR.join(shipped(use))


def locate(model: Path | str) -> Path | None:
    """The checkpoint of a model.

    Args:
        model: name of a recipe, folder of an experiment, or path of a model file. A recipe comes
            before a folder of the same name; write the folder as ``./name``.

    Returns:
        its path; None for a recipe without weights here.

    Raises:
        UserError: no such model; several weights.
    """
    text = str(model)
    if text in config.recipes():
        found = sorted((ROOT / "recipes" / text / "pretrained").glob("*.pth"))
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise UserError(f"{text} has several weights; name one of the files ({names})")
        return found[0] if found else None
    path = Path(text)
    if path.is_dir():
        found = experiment.Experiment(path).model
        if not found.is_file():
            raise UserError(f"{path}: expected the folder of an experiment, found no {found.name}"
                            " in it; stage 1 makes it")  # fmt: skip
        return found
    if path.exists() or path.suffix == ".pth":
        return path
    raise UserError(f"unknown model {text!r}{nearest(text, config.recipes())}"
                    " (a recipe, the folder of an experiment, or a model file)")  # fmt: skip


def files(model: Path | str) -> list[Path]:
    """What the estimates of a model, or of several with commas between, depend on: checkpoints,
    and the settings of a recipe that is built from them.

    Raises:
        UserError: see ``locate``.
    """
    found = []
    for name in _listed(model):
        found.append(locate(name) or ROOT / "recipes" / str(name) / "conf.yml")
    return found


def open_model(model: Path | str | None = None, single: str | None = None):
    """The separator of a model, on the CPU, in eval mode; ``infos["file"]`` is its file.

    Args:
        model: see ``locate``, or several with commas between, whose estimates are averaged; None:
            the default of recipes/shipped.yml. A recipe without weights is built from its settings
            if it needs no fitting.
        single: what takes one model only, for the line that says so.

    Raises:
        UserError: no such model, not a model file, an oracle, not trained; several where one is
            taken, or at different sample rates.
    """
    weights = shipped() if model is None else _listed(model)
    if len(weights) == 1:
        return _open_one(*weights)
    if single:
        raise UserError(
            f"{single} takes one model, found {', '.join(weights)}; choose with --model"
        )
    from local.model import bag

    return bag.Bag([_open_one(name) for name in weights], list(weights.values()))


def _listed(model: Path | str) -> dict[Path | str, float]:
    """The members of a list with commas, each of the same weight; a path may hold commas too."""
    text = str(model)
    if SEPARATOR not in text or Path(text).exists():
        return {model: 1}
    return dict.fromkeys(filter(None, text.split(SEPARATOR)), 1) or {model: 1}


def _open_one(model: Path | str):
    """``open_model`` of one."""
    from local.model import separators

    path = locate(model)
    separator = separators.build(str(model)) if path is None else separators.load(path)
    if separator.needs_sources:
        raise UserError(f"{separator.recipe} is an oracle: it needs the references, which a"
                        " recording does not have; it can only be evaluated")  # fmt: skip
    if path is None and (
        separators.count_parameters(separator) or hasattr(separator.network, "fit")
    ):
        raise UserError(f"{model} has no weights here: train it (./run.sh --model {model}), then"
                        f" --model exp/DATA/{model}")  # fmt: skip
    separator.infos["file"] = str(path) if path else "built from its settings"
    return separator


def choose_device(name: str):
    """The torch device of a name; ``auto``: a CUDA device where there is one, else the CPU.

    Raises:
        UserError: this machine does not have it.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    here = {"cpu": True, "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available()}  # fmt: skip
    if not here.get(name, False):
        raise UserError(f"--device {name}: there is none here; found"
                        f" {', '.join(device for device in here if here[device])}")  # fmt: skip
    return torch.device(name)


def check_device(name: str) -> None:
    """Refuse a device that this machine does not have, without torch for those that it must have.

    Raises:
        UserError: see ``choose_device``.
    """
    if name not in ("auto", "cpu"):
        choose_device(name)

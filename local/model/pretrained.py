"""Models by name: weights that ship with winnow, own experiments, recipes without weights.

``recipes/shipped.yml`` names the default recipes. A recipe's weights are
``recipes/<recipe>/pretrained/<name>.pth``, with a card beside them.
"""

from pathlib import Path

from local import ROOT
from local.base import config, disk, experiment
from local.base.errors import UserError, nearest


def default(use: str = "default") -> str:
    """The default recipe for a use, from recipes/shipped.yml.

    Raises:
        UserError: the file names none.
    """
    path = ROOT / "recipes" / "shipped.yml"
    name = disk.read_yaml(path).get(use)
    if name is None:
        raise UserError(f"{path}: names no recipe for {use!r}; choose one with --model")
    return name


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


def open_model(model: Path | str | None = None):
    """The separator of a model, on the CPU, in eval mode; ``infos["file"]`` is its file.

    Args:
        model: see ``locate``; None: the default of recipes/shipped.yml. A recipe without weights
            is built from its settings if it needs no fitting.

    Raises:
        UserError: no such model, not a model file, an oracle, not trained.
    """
    from local.model import separators

    model = default() if model is None else model
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

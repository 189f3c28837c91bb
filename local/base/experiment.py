"""The paths of data and experiments, and the provenance of every number.

``data/<data>/`` holds the manifests, ``exp/<data>/<model>[-<preset>][_<tag>]/`` what a training
made of them. Both are relative to the current directory; run.sh changes to the checkout first.
"""

import datetime
import functools
import importlib.metadata
import platform
import re
import subprocess
import sys
from pathlib import Path

from local import ROOT
from local.base import config, disk
from local.base.command_line import check_length, check_name
from local.base.errors import UserError

DATA, EXPERIMENTS = Path("data"), Path("exp")
MODEL = "best_model.pth"
FOLDERS = ("compare", "tune")  # of a data set, beside its experiments
NUMBER = int | float | None
FACTS = {"recipe": str, "preset": str | None, "tag": str | None, "seed": int | None,
         "train_hash": str | None, "valid_hash": str | None, "training_seconds": NUMBER,
         "audio_seconds_seen": NUMBER, "finished": dict | None, "init": dict | None}  # fmt: skip
"""What provenance.yml must hold, and the types of what it may hold."""
PACKAGES = ("torch", "torchaudio", "pytorch-lightning", "asteroid", "asteroid-filterbanks",
            "numpy", "scipy", "pandas", "museval", "soundfile")  # fmt: skip


class Experiment:
    """The folder of a training: where its files lie, and what they say, each read once.

    Args:
        folder: ``exp/<data>/<experiment>``; nothing of it needs to be there.

    Attributes:
        name, data: of the experiment, and of the data set.
        conf_path, facts_path, model, last: conf.yml, provenance.yml, the best weights, and the
            state that a training continues from.
    """

    def __init__(self, folder: Path | str):
        self.folder = folder = Path(folder)
        self.name, self.data = folder.name, folder.parent.name
        self.conf_path, self.facts_path = folder / "conf.yml", folder / "provenance.yml"
        self.model, self.last = folder / MODEL, folder / "checkpoints" / "last.ckpt"

    @functools.cached_property
    def conf(self) -> dict:
        """The resolved settings.

        Raises:
            UserError: missing or damaged.
        """
        return disk.read_yaml(self.conf_path, {"seed": int})

    @functools.cached_property
    def facts(self) -> dict:
        """The provenance: how it was trained.

        Raises:
            UserError: missing or damaged.
        """
        return disk.read_yaml(self.facts_path, FACTS)

    def scores(self, test_hash: str) -> Path:
        """The path of its scores.csv on a test set; scores.yml is beside it."""
        return self.folder / "scores" / test_hash / "scores.csv"

    def mixtures(self, test_hash: str, suffix: str = "") -> Path:
        """The path of the mixtures' scores on a test set, which a data set's experiments share."""
        return self.folder.parent / ".mixture" / f"{test_hash}{suffix}.csv"

    def scored_on(self) -> list[str]:
        """Hashes of the test sets that it is scored on."""
        return sorted(path.parent.name for path in self.folder.glob("scores/*/scores.csv"))


def trained() -> list[Experiment]:
    """All experiments that have a model."""
    return [Experiment(path.parent) for path in sorted(EXPERIMENTS.glob(f"*/*/{MODEL}"))]


def add_arguments(parser) -> None:
    """The options that name an experiment, shared by the stages from 1 on."""
    parser.add_argument("--model", required=True, help="a folder below recipes/")
    parser.add_argument("--preset", help="a partial tree of settings in the recipe's conf.yml")
    parser.add_argument("--tag", help="a word added to the experiment's name")
    parser.add_argument("--name", help="name of the data set, a folder below data/")


def experiment_name(recipe: str, preset: str | None = None, tag: str | None = None) -> str:
    """``<recipe>[-<preset>][_<tag>]``, which no other recipe or preset can have.

    Names of recipes hold ``_`` too: what could be of another one is that of the longer name.

    Raises:
        UserError: a word that cannot be in it; another recipe's, another preset's or another
            folder's name.
    """
    of_preset = name = check_name(recipe, "--model")
    if preset:
        of_preset = name = f"{recipe}-{check_name(preset, '--preset')}"
    if tag:
        name += f"_{check_name(tag, '--tag')}"
    for other in config.recipes():
        if len(other) > len(recipe) and re.match(f"{re.escape(other)}([-_]|$)", name):
            what = f"--tag {tag}" if tag else f"--preset {preset}"
            raise UserError(f"{what}: {name} would be the folder of the recipe {other};"
                            f" choose another word after {'_' if tag else '-'}")  # fmt: skip
    for other in config.presets(recipe) if tag and recipe in config.recipes() else ():
        longer = f"{recipe}-{other}"
        if len(longer) > len(of_preset) and re.match(f"{re.escape(longer)}(_|$)", name):
            raise UserError(f"--tag {tag}: {name} would be the folder of the preset {other};"
                            " choose another word")  # fmt: skip
    check_length(name, "--tag" if tag else "--preset")
    if name in FOLDERS:
        raise UserError(f"--model {name}: exp/<data>/{name} is for other things; rename the recipe")
    return name


def data_dir(name: str) -> Path:
    """The folder of a data set's manifests."""
    return DATA / check_name(name, "--name")


def exp_dir(name: str, recipe: str, preset: str | None = None, tag: str | None = None) -> Path:
    """The folder of an experiment."""
    return EXPERIMENTS / check_name(name, "--name") / experiment_name(recipe, preset, tag)


def locate(args) -> Path:
    """The folder of the trained experiment that the options of ``add_arguments`` name.

    Without ``--name`` it is the one experiment that fits, whatever its data set.

    Raises:
        UserError: there is none (the line says which stage makes it), or there are several.
    """
    experiment = experiment_name(args.model, args.preset, args.tag)
    if args.name:
        candidates = [exp_dir(args.name, args.model, args.preset, args.tag)]
    else:
        candidates = sorted(EXPERIMENTS.glob(f"*/{experiment}"))
    found = [path for path in candidates if Experiment(path).model.is_file()]
    if len(found) > 1:
        names = ", ".join(path.parent.name for path in found)
        raise UserError(f"{experiment} was trained on several data sets; add --name ({names})")
    if not found:
        where = EXPERIMENTS / (args.name or "*") / experiment / MODEL
        raise UserError(f"{where}: not there; stage 1 makes it (--stage 1 with the same options)")
    return found[0]


def locate_data(args) -> str:
    """The name of the data set to train on: ``--name``, or the one that fits.

    Raises:
        UserError: there is none (stage 0 makes it), or there are several.
    """
    if args.name:
        names = [args.name] if (data_dir(args.name) / "train.csv").is_file() else []
    else:
        experiment = experiment_name(args.model, args.preset, args.tag)
        begun = sorted(EXPERIMENTS.glob(f"*/{experiment}/conf.yml"))
        names = [path.parents[1].name for path in begun]
        names = names or [path.parent.name for path in sorted(DATA.glob("*/train.csv"))]
    if len(names) > 1:
        raise UserError(f"several data sets fit; add --name ({', '.join(names)})")
    if not names:
        where = DATA / (args.name or "*") / "train.csv"
        raise UserError(f"{where}: not there; stage 0 makes it (--stage 0 --data DIR)")
    return names[0]


def starts(training: dict) -> list[dict]:
    """The weights that a training started from, those that they started from, and so on.

    Args:
        training: its provenance.

    Returns:
        each ``init`` of the chain, the nearest first; none where weights were random.
    """
    found = []
    while isinstance(init := training.get("init"), dict):
        found.append(init)
        training = init.get("provenance") or {}
    return found


def provenance() -> dict:
    """Where a result comes from: command line, date, commit, platform, package versions."""
    return {
        "command": _command(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _command() -> list[str]:
    """The command line as one would type it: ``python -m local.x`` for a program in local/."""
    program = Path(sys.argv[0])
    if program.parent == ROOT / "local":
        return ["python", "-m", f"local.{program.stem}", *sys.argv[1:]]
    return [program.name, *sys.argv[1:]]


def _commit() -> str:
    """The checkout's commit, ``-dirty`` where files differ from it; ``unknown`` without git."""
    command = [
        "git",
        "-C",
        str(ROOT),
        "describe",
        "--always",
        "--exclude=*",
        "--dirty",
        "--abbrev=12",
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()

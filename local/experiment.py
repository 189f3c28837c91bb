"""Where things lie on disk, and what stands beside every number.

``data/<data>/`` holds the manifests, ``exp/<data>/<model>[-<preset>][_<tag>]/`` what a training
made of them. Both are relative to the current directory; run.sh changes to the checkout first.
"""

import contextlib
import datetime
import functools
import importlib.metadata
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from local import ROOT, plain_yaml, processes
from local.errors import UserError

DATA, EXPERIMENTS = Path("data"), Path("exp")
COUNTER = itertools.count()
TEMPORARY = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<started>\w+)-\d+\.tmp")
"""Names that ``scratch`` gives."""
PACKAGES = ("torch", "torchaudio", "pytorch-lightning", "asteroid", "asteroid-filterbanks",
            "numpy", "scipy", "pandas", "museval", "soundfile")  # fmt: skip


def add_arguments(parser) -> None:
    """The options that name an experiment, shared by the stages from 1 on."""
    parser.add_argument("--model", required=True, help="a folder below recipes/")
    parser.add_argument("--preset", help="a partial tree of settings in the recipe's conf.yml")
    parser.add_argument("--tag", help="a word that tells this experiment from others")
    parser.add_argument("--name", help="name of the data set, a folder below data/")


def check_name(word: str, option: str) -> str:
    """``word`` if it may be part of a folder's name.

    Raises:
        UserError: empty, with a dot in front, or with other characters than letters, digits, dot,
            dash, plus, underscore.
    """
    if not re.fullmatch(r"[\w+-][\w.+-]*", word):
        raise UserError(f"{option} {word!r}: letters, digits and . _ + - only, no dot in front")
    return word


def experiment_name(recipe: str, preset: str | None = None, tag: str | None = None) -> str:
    """``<recipe>[-<preset>][_<tag>]``."""
    name = check_name(recipe, "--model")
    if preset:
        name += f"-{check_name(preset, '--preset')}"
    if tag:
        name += f"_{check_name(tag, '--tag')}"
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
    found = [path for path in candidates if (path / "best_model.pth").is_file()]
    if len(found) > 1:
        names = ", ".join(path.parent.name for path in found)
        raise UserError(f"{experiment} was trained on several data sets; add --name ({names})")
    if not found:
        where = EXPERIMENTS / (args.name or "*") / experiment / "best_model.pth"
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
        names = [path.parent.name for path in sorted(EXPERIMENTS.glob(f"*/{experiment}"))]
        names = names or [path.parent.name for path in sorted(DATA.glob("*/train.csv"))]
    if len(names) > 1:
        raise UserError(f"several data sets fit; add --name ({', '.join(names)})")
    if not names:
        where = DATA / (args.name or "*") / "train.csv"
        raise UserError(f"{where}: not there; stage 0 makes it (--stage 0 --data DIR)")
    return names[0]


@functools.cache
def sweep(folder: Path) -> None:
    """Remove what killed runs on this machine left in a folder under names of ``scratch``; once.

    What another machine or a running process made stays.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            of = TEMPORARY.fullmatch(path.name)
            here = of and of["machine"] == processes.machine()
            if here and not processes.runs(int(of["pid"]), of["started"]):
                _remove(path)


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A short name in ``folder`` that nothing has; what is there in the end is removed.

    The folder is made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder.absolute())
    owner = processes.machine(), os.getpid(), processes.started(os.getpid())
    temporary = folder / ".{}-{}-{}-{}.tmp".format(*owner, next(COUNTER))
    try:
        yield temporary
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replace(path: Path | str) -> Iterator[Path]:
    """A temporary path in the same folder, renamed onto ``path`` once it is written whole.

    The folder is made where it is missing. On any failure the temporary file, or folder, is
    removed and ``path`` stays as it was. Only a folder takes the place of a folder.

    Raises:
        OSError: as the system says it, of ``path``.
    """
    path = Path(path)
    with scratch(path.parent) as temporary:
        try:
            yield temporary
            if temporary.is_dir() and path.is_dir():
                shutil.rmtree(path)
            os.replace(temporary, path)
        except OSError as error:
            # a fault in writing names no file, others the temporary one
            name = os.fsdecode(error.filename) if error.filename else str(temporary)
            error.filename, error.filename2 = name.replace(str(temporary), str(path)), None
            raise


def write_yaml(path: Path | str, tree: dict) -> None:
    """Write plain types as YAML, whole or not at all."""
    with replace(path) as temporary:
        temporary.write_text(plain_yaml.dump(tree), encoding="utf-8")


def read_yaml(path: Path | str, required: dict[str, type] | None = None) -> dict:
    """Read what ``write_yaml`` wrote.

    Args:
        required: key -> type of the values that must be there.

    Raises:
        UserError: the file is missing or cannot be read, is not a mapping in YAML, or lacks
            what is required.
    """
    path = Path(path)
    tree = plain_yaml.parse(plain_yaml.read_text(path), str(path))
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected a mapping, found {type(tree).__name__}")
    for key, kind in (required or {}).items():
        if not isinstance(tree.get(key), kind):
            raise UserError(f"{path}: expected {key!r} of type {kind.__name__},"
                            f" found {tree.get(key)!r:.40}")  # fmt: skip
    return tree


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

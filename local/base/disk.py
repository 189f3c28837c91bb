"""Our files on disk: written atomically, checked when read."""

import contextlib
import functools
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from local.base import plain_yaml, processes
from local.base.errors import UserError
from local.base.names import TEXT

COUNTER = itertools.count()
TEMPORARY = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<started>\w+)-\d+\.tmp")
"""Names that ``scratch`` gives."""


@functools.cache
def sweep(folder: Path) -> None:
    """Remove what killed runs on this machine left in a folder under names of ``scratch``; once.

    Files of another machine or a running process stay.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            of = TEMPORARY.fullmatch(path.name)
            here = of and of["machine"] == processes.machine()
            if here and not processes.runs(int(of["pid"]), of["started"]):
                _remove(path)


@contextlib.contextmanager
def scratch(folder: Path, name: Path | None = None) -> Iterator[Path]:
    """A short unused name in ``folder``; what it names is removed at the end.

    A missing folder is made. Faults name ``name``, or else the folder, instead of a name that
    nobody knows.

    Raises:
        OSError: as the system says it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder.absolute())
    owner = processes.machine(), os.getpid(), processes.started(os.getpid())
    temporary = folder / ".{}-{}-{}-{}.tmp".format(*owner, next(COUNTER))
    try:
        yield temporary
    except OSError as error:
        if error.errno is None:
            raise
        # a fault in writing names no file, others the temporary one
        found = os.fsdecode(error.filename) if error.filename else str(temporary)
        found = found.replace(str(temporary), str(name or folder))
        raise OSError(error.errno, error.strerror, found) from error
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

    A missing folder is made. On any failure the temporary file or folder is removed and ``path``
    stays unchanged. Only a folder replaces a folder.

    Raises:
        OSError: as the system says it, of ``path``.
    """
    path = Path(path)
    with scratch(path.parent, path) as temporary:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)


def write_yaml(path: Path | str, tree: dict) -> None:
    """Write plain types as YAML, atomically."""
    with replace(path) as temporary:
        temporary.write_text(plain_yaml.dump(tree), **TEXT)


def read_yaml(path: Path | str, kinds: dict | None = None) -> dict:
    """Read what ``write_yaml`` wrote.

    Args:
        kinds: key -> type of its value, such as ``int``; ``int | None`` where it may be missing.

    Raises:
        UserError: the file is missing or cannot be read, is not a mapping in YAML, or holds
            something else under one of ``kinds``.
    """
    path = Path(path)
    tree = plain_yaml.parse(plain_yaml.read_text(path), str(path))
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected a mapping, found {type(tree).__name__}")
    expect(tree, kinds or {}, path)
    return tree


def expect(tree: dict, kinds: dict, path: Path) -> None:
    """Raise a UserError that names the first of ``kinds`` (see ``read_yaml``) that is not so."""
    for key, kind in kinds.items():
        if not isinstance(tree.get(key), kind):
            expected = getattr(kind, "__name__", kind)
            raise UserError(f"{path}: expected {key!r} of type {expected},"
                            f" found {tree.get(key)!r:.40}")  # fmt: skip

"""What a path is, told without opening it: to open a pipe is to wait for who writes into it."""

import errno
import os
import stat
from pathlib import Path

from local.base.errors import UserError

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
         stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}  # fmt: skip


def irregular(path: Path | str) -> str | None:
    """What is there instead of a regular file, or of a link to one; None: there is one."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return "a link to nothing" if os.path.islink(path) else "nothing there"
    except OSError as error:
        return "a link that leads to itself" if error.errno == errno.ELOOP else error.strerror
    return None if kind == stat.S_IFREG else KINDS.get(kind, "something else")


def is_there(path: Path) -> bool:
    """Whether there is a file that need not be.

    Raises:
        UserError: something else is there, such as a link to nothing.
    """
    what = irregular(path)
    if what not in (None, "nothing there"):
        raise UserError(f"{path}: expected a file, found {what}")
    return what is None

"""Recordings that come from standard input or a pipe, copied to a file that can be read twice."""

import contextlib
import errno
import os
import select
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from local.base.errors import NO_ROOM, UserError

PIECE = 2**20  # bytes that are read at once
WAIT = 60  # s that a pipe given by name may be silent: one that nobody writes into is for ever


def copied(name: str):
    """A temporary file that holds all that comes from standard input or a pipe; None of a file.

    Raises:
        UserError: nothing comes.
        OSError: no room for it.
    """
    if name == "-":
        if sys.stdin is None:
            raise UserError("standard input is closed")
        if sys.stdin.isatty():
            raise UserError("standard input is a terminal: pipe or redirect a recording into it")
        what, pieces = "standard input", iter(lambda: sys.stdin.buffer.read(PIECE), b"")
    elif Path(name).is_fifo():
        what, pieces = "the pipe", _pipe(name)
    else:
        return None
    with temporary_room():
        spooled = tempfile.NamedTemporaryFile()  # noqa: SIM115
    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            with temporary_room():
                spooled.write(piece)
                spooled.flush()
        if not size:
            raise UserError(f"{what} is empty")
    except BaseException:
        with contextlib.suppress(OSError):
            spooled.close()
        raise
    return spooled


def _pipe(path: str) -> Iterator[bytes]:
    """What is written into a pipe, up to its end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else it waits for a writer here
    try:
        while True:
            if not select.select([descriptor], [], [], WAIT)[0]:
                raise UserError(f"is a pipe into which nothing was written for {WAIT} s")
            with contextlib.suppress(BlockingIOError):
                piece = os.read(descriptor, PIECE)
                if not piece:
                    return
                yield piece
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_room() -> Iterator[None]:
    """Says what to do where the folder for temporary files is full."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:  # tempfile's, where it can write to none
            raise OSError(error.errno, f"{error.strerror}; set TMPDIR to one with room") from None
        if error.errno not in NO_ROOM:
            raise
        hint = f"{os.strerror(error.errno)}; set TMPDIR to a folder with more room"
        raise OSError(error.errno, hint, tempfile.gettempdir()) from None

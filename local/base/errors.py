"""Faults of input and of the machine: one clear line and exit code 2, never a traceback."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from local.base.names import shown

NO_ROOM = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in your quota",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
}
"""Faults of writing -> what to do."""


CONTINUES = "the same command continues"


class UserError(Exception):
    """A fault of input that one line explains: file, expected, found, what to do."""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The end of an error line: ``"; did you mean 'x'?"``, or nothing if none is near."""
    found = difflib.get_close_matches(str(name), list(candidates), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


class Parser(argparse.ArgumentParser):
    """An argument parser with errors of one line, as everywhere in winnow."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str):
        options = [name for action in self._actions for name in action.option_strings]
        _, unrecognised, rest = message.partition("unrecognized arguments: ")
        hint = nearest(rest.split(" ")[0].partition("=")[0], options) if unrecognised else ""
        raise UserError(f"{message}{hint}")


def guard(
    main: Callable[[], None],
    program: str | None = None,
    again: str = "the same command starts again",
) -> None:
    """Run a program's ``main``; expected faults end it with one line and an exit code.

    The line begins with the program's name, by default that of its file.

    A UserError ends it with 2, and so does what the system refuses (a full disk, a file that may
    not be written), which is an OSError or, from torch, anything with such a one behind it. An
    interruption (Ctrl-C) ends it with 130, as shells expect, and with what its KeyboardInterrupt
    says of how to go on, or ``again``; a reader of standard output that has gone, with 1 and no
    line. Everything else is a fault of winnow itself and keeps its traceback.
    """
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by a shell's >&-
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115 -- for the whole run
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    program = program or f"winnow {os.path.splitext(os.path.basename(sys.argv[0]))[0]}"
    try:
        try:
            main()
        finally:
            sys.stdout.flush()  # what it still holds may find no room either
    except UserError as error:
        _end(2, f"{program}: {error}")
    except KeyboardInterrupt as stop:
        _end(130, f"{program}: interrupted; {str(stop) or again}")
    except BrokenPipeError:
        _end(1)
    except Exception as error:
        line = refusal(error)
        if line is None:
            raise
        _end(2, f"{program}: {line}")


def refusal(error: BaseException | None) -> str | None:
    """What the system refused, where that is behind an error; None: it is another fault.

    torch raises other errors when a file cannot be written, and a process of several loses the
    number of the fault; its words remain.
    """
    first = error
    while error is not None:
        if "shared memory" in str(error):
            return ("too little shared memory (/dev/shm) for the processes that load data: make it"
                    " larger (docker: --shm-size), or take --data.num_workers 0")  # fmt: skip
        for code, hint in NO_ROOM.items():
            words = os.strerror(code)
            if getattr(error, "errno", None) == code or words in str(error):
                return f"{_named(error)}{words}; {hint}, then run the same command again"
        error = error.__cause__ or error.__context__
    if isinstance(first, OSError) and first.errno is not None:
        return f"{_named(first)}{os.strerror(first.errno)}"
    return None


def _named(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f"{os.fsdecode(name)}: " if isinstance(name, (str, bytes, os.PathLike)) else ""


def _end(code: int, line: str | None = None) -> NoReturn:
    """End with a code and a line, also where neither can be written any more."""
    for stream, text in ((sys.stderr, line), (sys.stdout, None)):
        try:
            if text:
                print(shown(text), file=stream)
            stream.flush()
        except OSError:  # otherwise Python tries again at the end and complains
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(code) from None

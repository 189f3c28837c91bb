"""Faults of input: one clear line and exit code 2, never a traceback."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable


class UserError(Exception):
    """A fault of input that one line explains: what, expected, found, what to do."""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The end of an error line: ``"; did you mean 'x'?"``, or nothing where none is near."""
    found = difflib.get_close_matches(str(name), list(candidates), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


class Parser(argparse.ArgumentParser):
    """An argument parser whose faults are one line, as everywhere in winnow."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str):
        options = [name for action in self._actions for name in action.option_strings]
        _, unrecognised, rest = message.partition("unrecognized arguments: ")
        hint = nearest(rest.split(" ")[0].partition("=")[0], options) if unrecognised else ""
        raise UserError(f"{message}{hint}")


def guard(main: Callable[[], None], program: str | None = None) -> None:
    """Run a program's ``main``: a UserError ends it with one line and exit code 2.

    The line begins with the program's name, that of its file unless another is given.

    An interruption (Ctrl-C) ends it with exit code 130, as shells expect. Everything
    else is a fault of winnow itself and keeps its traceback.
    """
    program = program or f"winnow {os.path.splitext(os.path.basename(sys.argv[0]))[0]}"
    try:
        main()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"{program}: interrupted; the same command continues", file=sys.stderr)
        raise SystemExit(130) from None

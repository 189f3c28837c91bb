"""Words of a command line: names for folders, and settings among a program's options.

Standard library only: run.sh reads its options before there are packages, with any Python 3.
"""

from __future__ import annotations

import os
import re

from local.base.errors import UserError
from local.base.names import shown

LONGEST = 128  # bytes of a name; names of files hold it and more
DEVICES = ("auto", "cpu", "cuda", "mps")
TOP_LEVEL = ("seed", "mixture_consistency", "class")
"""Settings of every recipe that stand in no section."""


def add_device(parser) -> None:
    """The option that says where networks are run."""
    parser.add_argument(
        "--device", default=DEVICES[0], choices=DEVICES, metavar="NAME",
        help="where networks run: auto (CUDA where there is a GPU, else the CPU), cpu, cuda, mps",
    )  # fmt: skip


def parse_inputs(parser, words: list[str]):
    """What a parser with the positional ``inputs`` makes of words: options may stand between them.

    What stands behind ``--`` is inputs, whatever it looks like; not every Python's argparse sees
    that where it takes options anywhere.
    """
    behind = words.index("--") if "--" in words else len(words)
    args = parser.parse_intermixed_args(words[:behind])
    args.inputs += words[behind + 1 :]
    return args


def check_name(word: str, option: str) -> str:
    """``word`` if it may be part of a folder's name.

    Raises:
        UserError: empty, with a dot in front, or with other characters than letters, digits, dot,
            dash, plus, underscore; longer than ``LONGEST``.
    """
    if not re.fullmatch(r"[\w+-][\w.+-]*", word):
        problem = "letters, digits and . _ + - only, no dot in front"
        raise UserError(f"{option} '{shown(word)}': {problem}")
    check_length(word, option)
    return word


def check_length(name: str, option: str) -> None:
    """Raise a UserError where no file could be named after a folder of this name."""
    length = len(os.fsencode(name))
    if length > LONGEST:
        problem = f"expected at most {LONGEST} bytes, found {length}"
        raise UserError(f"{option} {name[:20]}...: {problem}")


def check_sources(given: dict) -> None:
    """Which of the options that say what a data set is made of go together.

    Args:
        given: option, without dashes in front, -> value, for those that are given.

    Raises:
        UserError: one that is too many, or missing.
    """
    for name, other in (("voices", "noises"), ("noises", "voices")):
        if name in given and other not in given:
            raise UserError(f"--{name} needs --{other} DIR: what both hold is mixed")
    for name in ("data", "corpus"):
        if "voices" in given and name in given:
            raise UserError(f"--{name} and --voices: a data set is made of one of them")
    if "voices" in given and "name" not in given:
        raise UserError("--voices and --noises need --name WORD: what the data set is called")
    if "snrs" in given and "voices" not in given:
        raise UserError("--snrs goes with --voices and --noises only")


def split_dotted(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take the settings out of a stage's arguments; the last of several values counts.

    An option whose name holds a dot, or that is a setting without a section (such as ``--seed``),
    belongs to the settings; the others are the stage's own.

    Returns:
        the stage's own arguments, and the settings as dotted key -> string.

    Raises:
        UserError: a setting without a value.
    """
    own, pairs = settings_among(argv)
    return own, dict(pairs)


def settings_among(argv: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """As ``split_dotted``, with every setting as often as it is given."""
    own, pairs = [], []
    items = iter(argv)
    for item in items:
        name, equals, value = item.partition("=")
        key = name[2:].replace("-", "_")
        if not (name.startswith("--") and ("." in key or key in TOP_LEVEL)):
            own.append(item)
            continue
        if not equals:
            value = next(items, "--")
            if value.startswith("--"):  # the next option
                raise UserError(f"{name} needs a value")
        pairs.append((key, value))
    return own, pairs

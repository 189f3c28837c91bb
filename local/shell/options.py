"""run.sh's command line: read, checked, and told to run.sh as pairs of name and value.

    python -m local.shell.options FOLDER WORD...

FOLDER is where the user stands: paths are relative to it. Standard library only and any Python
from 3.8 on, because it runs before the environment stands. What needs a recipe's settings is
checked by local/check.py, once there is a reader of YAML. Every name and value on standard output
ends with a zero byte, which no word can hold; the pair ``end`` is the last one of a good line.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys

from local import ROOT
from local.base.command_line import DEVICES, TOP_LEVEL, check_name, check_sources, settings_among
from local.base.errors import Parser, UserError, guard
from local.shell.known import extras, first_line, nearest, recipes, setting_names, shipped
from local.shell.option_table import (
    CHOICES,
    FOLDERS,
    HOW,
    NAMES,
    OPTIONS,
    STAGES,
    TOP,
    TUNE,
    Option,
)

YES = ("true", "yes", "on")  # as YAML has it


class _Options(Parser):
    """argparse's faults in the words of run.sh."""

    def error(self, message: str):
        fault = re.match(
            r"argument (--[\w-]+): (expected one|ignored explicit) argument ?(.*)", message
        )
        if not fault:
            super().error(message)
        name, what, found = fault.groups()
        if what == "ignored explicit":
            raise UserError(f"{name} takes no value, found {found}")
        option = next(option for option in OPTIONS + TUNE if f"--{option.name}" == name)
        raise UserError(f"{name} needs a value: {option.kind}, {option.meaning}")


class _Once(argparse.Action):
    """Keep a value that is right, and refuse a second one."""

    def __call__(self, parser, namespace, value, option_string=None):
        name, before = self.option_strings[0], getattr(namespace, self.dest)
        if not value:
            parser.error(f"argument {name}: expected one argument")
        if before not in (None, value):
            raise UserError(f"{name} is given twice, as {before!r} and as {value!r}")
        check_value(name, self.metavar, value)
        setattr(namespace, self.dest, value)


def check_value(name: str, kind: str, value: str) -> None:
    """Whether a value is of its kind.

    Raises:
        UserError: it is not.
    """
    wrong = None
    if kind == "STAGE" and not re.fullmatch(f"[0-{len(STAGES) - 1}]", value):
        raise UserError(f"{name} {value}: there is no such stage; the stages are {NAMES}")
    if kind == "N" and not re.fullmatch("[0-9]+", value):
        wrong = "a whole number"
    elif kind == "COUNT" and not re.fullmatch("0*[1-9][0-9]*", value):
        wrong = "a whole number from 1"
    elif kind == "PERCENT" and not re.fullmatch(r"100(\.0*)?|[0-9]{1,2}(\.[0-9]*)?", value):
        wrong = "0 to 100"
    elif kind == "HOURS" and not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", value):
        wrong = "a number of hours"
    elif kind == "WORD":
        check_name(value, name)
    elif kind == "DEVICE" and value not in DEVICES:
        wrong = " or ".join(DEVICES)
    elif "|" in kind and value not in kind.split("|"):
        wrong = kind.replace("|", " or ")
    if wrong:
        raise UserError(f"{name} expects {wrong}, found {value!r}")


def main() -> None:
    """Print what run.sh is to know."""
    told = tell(sys.argv[1], sys.argv[2:])
    for pair in told:
        sys.stdout.buffer.write(b"".join(os.fsencode(word) + b"\0" for word in pair))


def tell(folder: str, words: list[str]) -> list[tuple[str, str]]:
    """The pairs of name and value for a command line.

    Raises:
        UserError: what cannot be right in it.
    """
    behind = words.index("--") if "--" in words else len(words)
    words, pytest = words[:behind], words[behind + 1 :]
    parser = build_parser(OPTIONS + TUNE, TOP)
    words = _attach(["--help" if word == "-h" else _spell(word) for word in words])
    own, settings = settings_among(words)
    args, unknown = parser.parse_known_args(own)
    given = {option: getattr(args, option.name.replace("-", "_")) for option in OPTIONS + TUNE}
    given = {option.name: value for option, value in given.items() if value}
    if "help" in given:
        parser = build_parser(TUNE if "tune" in given else OPTIONS, HOW if "tune" in given else TOP)
        text = parser.format_help().replace("usage: ", "", 1).replace("\n\n", "\n", 1).rstrip()
        return [("say", text), ("end", "said")]
    first_look = not given.keys() & {*CHOICES, "tune"}
    model = given.get("model") or (shipped() if first_look else "convtasnet")
    check_words(unknown, model)
    if "list" in given:
        return [
            ("say", "\n".join(f"{name:16} {first_line(name)}" for name in recipes())),
            ("end", "said"),
        ]
    check_twice(settings)
    models = re.split("[,|]", model) if "tune" in given else [model]
    for name in models:
        if name not in recipes():
            near = nearest(name, recipes())
            raise UserError(
                f"unknown model {name!r}; did you mean {near!r}? (./run.sh --list shows all)"
            )
    python = _python(folder, given)
    if "test" in given:
        for name in [*given, *(key for key, _ in settings)]:
            if name not in ("test", "slow", "python"):
                raise UserError(
                    f"--{name} means nothing with --test; options of pytest stand behind --"
                )
        slow = ["--slow"] if "slow" in given else []
        return [
            *python,
            *_each("extra", extras()),
            *_each("pytest", slow + pytest),
            ("end", "test"),
        ]
    if "slow" in given:
        raise UserError("--slow means nothing without --test")
    if pytest:
        raise UserError("words behind -- are for pytest; they mean nothing without --test")
    if "tune" in given:
        return [*python, *_tune(folder, given, models, settings), ("end", "tune")]
    for option in TUNE:
        if option.name in given:
            raise UserError(f"--{option.name} means nothing without --tune")
    return [*python, *_stages(folder, given, model, settings), ("end", "stages")]


def build_parser(options: tuple[Option, ...], top: str) -> argparse.ArgumentParser:
    """Options as argparse takes and shows them, below some text."""

    def formatter(prog):
        return argparse.RawTextHelpFormatter(prog, max_help_position=28, width=80)

    parser = _Options(add_help=False, usage=top.format(NAMES), formatter_class=formatter)
    group = parser.add_argument_group()
    for option in options:
        where = f"stage {_span(option.stages)}: " if option.stages else ""
        meaning = (where + option.meaning).replace("%", "%%")
        kind = (
            {"action": "store_true"}
            if option.kind is None
            else {"action": _Once, "metavar": option.kind}
        )
        shown = meaning if option.meaning else argparse.SUPPRESS
        group.add_argument(f"--{option.name}", help=shown, **kind)
    return parser


def check_words(unknown: list[str], model: str) -> None:
    """Refuse what argparse does not know, with the nearest right one."""
    for word in unknown[:1]:
        if not word.startswith("-"):
            raise UserError(
                f"unexpected word {word!r}: options begin with --, and ./run.sh --help shows them"
            )
        name = word.partition("=")[0]
        if name.startswith("--"):  # as settings are spelt
            name = "--" + name[2:].replace("-", "_")
        known = [*(option.name for option in OPTIONS + TUNE), *TOP_LEVEL, *setting_names(model)]
        raise UserError(f"unknown option {name}; did you mean --{nearest(name.lstrip('-'), known)}?"
                        " (./run.sh --help shows all)")  # fmt: skip


def check_twice(settings: list[tuple[str, str]]) -> None:
    """Refuse a setting that is given two values."""
    values = {}
    for key, value in settings:
        if values.setdefault(key, value) != value:
            raise UserError(f"--{key} is given twice, as {values[key]!r} and as {value!r}")


def _stages(folder: str, given: dict, model: str, settings: list) -> list[tuple[str, str]]:
    """Which stages run, and the words of each one's program."""
    first, last = int(given.get("stage", 0)), int(given.get("stop-stage", len(STAGES) - 1))
    if first > last:
        raise UserError(f"--stop-stage {last} comes before --stage {first}: nothing would run")
    at = {option.name: option.stages for option in OPTIONS} | {key: (1,) for key, _ in settings}
    for name in [*given, *(key for key, _ in settings)]:
        if at[name] and not any(first <= stage <= last for stage in at[name]):
            names = ", ".join(STAGES[stage] for stage in at[name])
            raise UserError(f"--{name} is for stage {_span(at[name])} ({names}),"
                            f" and only stages {first} to {last} run")  # fmt: skip
    given = given | _folders(folder, given)
    data, name = _data(folder, given, first)
    if not given.keys() & CHOICES:  # a first look, at what ships
        given = {"init": model} | given | {"preset": "first_look"}
    preset = given.get("preset")
    experiment = [f"--model={model}"]
    for option, value in (("preset", preset), ("tag", given.get("tag")), ("name", name)):
        experiment += [f"--{option}={value}"] if value else []
    given = given | ({"init": _weights(folder, given["init"])} if "init" in given else {})
    of_stage = {
        stage: [f"--{o.name}" if o.kind is None else f"--{o.name}={given[o.name]}"
                for o in OPTIONS if stage in o.stages and o.name in given]
        for stage in range(len(STAGES))
    }  # fmt: skip
    changes = [f"--{key}={value}" for key, value in settings]
    check = [*experiment, *changes]
    check += ["--train"] if first <= 1 <= last else []
    check += [f"--data={data}"] if data and first > 0 else []
    check += [f"--metrics={given['metrics']}"] if "metrics" in given else []
    # alone, the comparison takes the only data set
    find = last == 4 and not name and (first < 4 or "model" in given)
    check += [f"--find={first}"] if find else []
    wanted = [model, *(["cluster"] if "scheduler" in given else [])]
    # an extra for metrics has the name that theirs begin with
    asked = given.get("metrics", "").lower().replace("-", "_").replace(",", " ").split()
    wanted += dict.fromkeys(name.partition("_")[0] for name in asked)
    wanted += _followed_with(settings)
    return [
        ("first", str(first)), ("last", str(last)),
        *_each("extra", [extra for extra in wanted if extra in extras()]),
        *_each("check", check),
        *_each("prepare", _prepare(data, name, of_stage[0])),
        *_each("train", [*experiment, *changes, *of_stage[1]]),
        *_each("evaluate", [*experiment, *of_stage[2]]),
        *_each("report", [*experiment, *of_stage[3]]),
        *_each("compare", [*([f"--name={name}"] if name else []), *of_stage[4]]),
    ]  # fmt: skip


def _tune(folder: str, given: dict, models: list, settings: list) -> list[tuple[str, str]]:
    """Whether stage 0 runs, and the words of the search."""
    for option in OPTIONS:
        if option.name in given and any(option.stages) and option.name != "device":
            what = f"stage {option.stages[0]} ({STAGES[option.stages[0]]})"
            raise UserError(f"--{option.name} is for {what}, and --tune takes the place of that")
    first = int(given.get("stage", 0))
    if first > 1 or "stop-stage" in given:
        name = "stop-stage" if "stop-stage" in given else "stage"
        raise UserError(f"--{name} {given[name]}: with --tune there are stage 0, which prepares the"
                        " data, and the search; --stage 1 begins with the search")  # fmt: skip
    prepares = [option.name for option in OPTIONS if option.stages == (0,) and option.name in given]
    if first and prepares:
        raise UserError(f"--{prepares[0]} is for stage 0 (prepare), and --stage 1 leaves it out")
    given = given | _folders(folder, given)
    data, name = _data(folder, given, first)
    words = [f"--model={','.join(models)}", *([f"--name={name}"] if name else [])]
    words += [f"--{key}={given[key]}" for key in ("preset", "tag") if key in given]
    words += [f"--{key}={value}" for key, value in settings]
    own = [f"--{o.name}" if o.kind is None else f"--{o.name}={given[o.name]}"
           for o in TUNE if o.name in given]  # fmt: skip
    own += [f"--device={given['device']}"] if "device" in given else []
    wanted = [*models, "tune", *_followed_with(settings)]
    check = [*words, "--tune", *([f"--data={data}"] if data and first else [])]
    check += [f"--sampler={given['sampler']}"] if "sampler" in given else []
    return [
        ("first", str(first)), ("last", "0"),
        *_each("extra", [extra for extra in wanted if extra in extras()]),
        *_each("check", check),
        *_each("prepare", _prepare(data, name, [f"--{key}={given[key]}" for key in prepares])),
        *_each("tune", words + own),
    ]  # fmt: skip


def _followed_with(settings: list) -> list[str]:
    """The extra of what a training is followed with."""
    return ["wandb"] if dict(settings).get("log.wandb", "").lower() in YES else []


def _prepare(data: str, name: str, options: list[str]) -> list[str]:
    """The words of stage 0's program."""
    return [*([f"--data={data}"] if data else []), f"--name={name}", *options]


def _span(stages: tuple[int, ...]) -> str:
    """``2`` or ``2 to 4``."""
    return f"{stages[0]} to {stages[-1]}" if len(stages) > 1 else str(stages[0])


def _data(folder: str, given: dict, first: int) -> tuple[str, str]:
    """The tree of triplets and the data set's name; empty: the stages find the one that fits."""
    if "voices" in given:
        return "", given["name"]
    data = str(ROOT / "egs_data") if first == 0 else ""
    if "data" in given:
        data = os.path.abspath(os.path.join(folder, given["data"]))
        if not os.path.isdir(data):
            raise UserError(f"--data {given['data']}: there is no such folder")
    if "name" in given or not data:
        return data, given.get("name", "")
    try:
        return data, check_name(os.path.basename(data), "its last part")
    except UserError as error:
        raise UserError(f"--data {data}: {error}; add --name") from None


def _folders(folder: str, given: dict) -> dict[str, str]:
    """The folders of stage 0 that are no tree, seen from anywhere; they must go together."""
    check_sources(given)
    found = {name: os.path.abspath(os.path.join(folder, given[name]))
             for name in FOLDERS if name in given}  # fmt: skip
    for name, path in found.items():
        if not os.path.isdir(path):
            raise UserError(f"--{name} {given[name]}: there is no such folder")
    return found


def _weights(folder: str, word: str) -> str:
    """What --init names, seen from the checkout; a recipe goes before a file of its name."""
    path = os.path.join(folder, word)
    if word not in recipes() and os.path.exists(path):
        inside = f"{ROOT}/"
        return path[len(inside) :] if path.startswith(inside) else path
    return word


def _python(folder: str, given: dict) -> list[tuple[str, str]]:
    """The interpreter that --python names."""
    if "python" not in given:
        return []
    path = given["python"]
    found = os.path.join(folder, path) if "/" in path else shutil.which(path)
    if not found or not os.access(found, os.X_OK):
        raise UserError(f"--python {path}: there is no such program")
    return [("python", found)]


def _spell(word: str) -> str:
    """An option of ours with dashes, whatever was typed."""
    name, equals, value = word.partition("=")
    plain = name.replace("_", "-")
    return (
        plain + equals + value
        if plain in [f"--{option.name}" for option in OPTIONS + TUNE]
        else word
    )


def _attach(words: list[str]) -> list[str]:
    """A list that begins with a minus, joined to its option: argparse takes it for another one."""
    attached = []
    for word in words:
        if attached and attached[-1] == "--snrs" and re.match("-[0-9.]", word):
            attached[-1] += f"={word}"
        else:
            attached.append(word)
    return attached


def _each(name: str, values: list[str]) -> list[tuple[str, str]]:
    return [(name, value) for value in values]


if __name__ == "__main__":
    guard(main, program="run.sh")

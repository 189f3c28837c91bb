"""What a search varies: each key's values, as typed or as a recipe's conf.yml has them.

    a,b,c   a|b|c            one of these; with | a value may hold commas
    0.1..0.9   8..64         any number between the two
    log:1e-4..1e-2           the same, drawn evenly over the logarithm
    model.window,model.hop = 512,128|1024,256     keys that go together

A single value is set for all trials. Brackets hold a value together: ``[16,32],[32,64]``. Several
values of ``seed`` are no choice: each trial takes them all, and its score is the mean. Neither
torch nor Optuna is needed here.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from local.base import config, plain_yaml
from local.base.command_line import LONGEST, check_name
from local.base.errors import UserError

MODEL, SEED = "model", "seed"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"(log:)?({NUMBER})\.\.({NUMBER})")
DIGITS = 4  # significant ones of a drawn number: more say nothing
LARGEST = 10_000  # combinations of a grid
PAIRS = {"[": "]", "{": "}"}


class Dimension(NamedTuple):
    """What is varied together.

    Attributes:
        keys: dotted keys of settings, or ``("model",)``.
        choices: the values as typed, one for each key with commas between; None: a range.
        low, high: of a range, both inside; both int, or both float.
        log: whether a range is drawn over the logarithm.
    """

    keys: tuple[str, ...]
    choices: tuple[str, ...] | None = None
    low: float = math.nan
    high: float = math.nan
    log: bool = False

    @property
    def name(self) -> str:
        """The keys, with commas between."""
        return ",".join(self.keys)

    def settings(self, value) -> dict[str, str]:
        """Key -> text, for a value of this dimension; drawn numbers are rounded."""
        if self.choices is not None:
            texts = _split(value, ",") if len(self.keys) > 1 else [value]
            return dict(zip(self.keys, texts, strict=True))
        if isinstance(self.low, float):
            # beside those that are the same in the whole range: 0.9995..0.9999
            same = int(math.log10(max(abs(self.low), abs(self.high)) / (self.high - self.low)))
            value = min(max(float(f"{value:.{DIGITS + same}g}"), self.low), self.high)
        return {self.name: str(value)}


class Space(NamedTuple):
    """A search: the recipes, what is varied, what is set for all.

    Attributes:
        models: names of recipes; several are a dimension too, ``model``.
        preset: the one that all settings start from, or None.
        dimensions: what is varied.
        fixed: dotted key -> text, the same in each trial.
        seeds: of each trial, as typed; none: the recipe's own.
    """

    models: tuple[str, ...]
    preset: str | None
    dimensions: tuple[Dimension, ...]
    fixed: dict[str, str]
    seeds: tuple[str, ...]

    @property
    def finite(self) -> bool:
        """Whether every combination can be tried."""
        return all(of.choices is not None for of in self.dimensions)

    @property
    def size(self) -> float:
        """How many combinations there are; with a range of numbers that are not whole, no end."""
        sizes = (len(of.choices) if of.choices is not None
                 else of.high - of.low + 1 if isinstance(of.low, int) else math.inf
                 for of in self.dimensions)  # fmt: skip
        return math.prod(sizes)

    def combinations(self) -> Iterator[dict[str, str]]:
        """Every combination of values, by names of dimensions, the last one varied first."""
        for values in itertools.product(*(of.choices for of in self.dimensions)):
            yield dict(zip((of.name for of in self.dimensions), values, strict=True))

    def resolve(self, values: dict) -> tuple[str, dict[str, str]]:
        """The recipe of a trial and its settings, dotted key -> text, less the seed.

        Args:
            values: name of each dimension -> its value.
        """
        settings = dict(self.fixed)
        for of in self.dimensions:
            settings |= of.settings(values[of.name])
        return settings.pop(MODEL, self.models[0]), settings

    def word(self, values: dict) -> str:
        """The varied settings as a part of a folder's name: ``window512_hop128``; may be empty."""
        _, settings = self.resolve(values)
        parts = [key.rpartition(".")[2].replace("_", "-") + text
                 for key, text in settings.items() if key not in self.fixed]  # fmt: skip
        return short("_".join(parts), str(settings))

    @property
    def name(self) -> str:
        """Of the search's folder: recipes, preset, and the last parts of the varied keys."""
        label = "+".join(self.models) + (f"-{self.preset}" if self.preset else "")
        keys = [key for of in self.dimensions for key in of.keys if key != MODEL]
        if keys:
            label += "_" + "-".join(key.rpartition(".")[2] for key in keys)
        return short(label, f"{self.models} {keys}")


def short(text: str, whole: str) -> str:
    """``text`` as a part of a folder's name; what had to be changed in it is told apart by a hash.

    Args:
        text: may hold any characters.
        whole: what the hash is of.
    """
    plain = re.sub(r"[^\w.+]+", "-", text).strip(".-")[: LONGEST // 2]
    if plain == text:
        return text
    return f"{plain}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def read(models: str, preset: str | None, typed: dict[str, str]) -> Space:
    """The search that a command line asks for, checked against each recipe's schema.

    Without a key that is varied on it, it is the recipe's own (``tune`` in conf.yml).

    Args:
        models: names of recipes, with ``,`` or ``|`` between.
        preset: see ``config.read``.
        typed: dotted key, or several with commas between -> text.

    Raises:
        UserError: an unknown recipe, preset or key, a value that a recipe does not take, a key
            twice, nothing that is varied; the line names the nearest right one.
    """
    names = tuple(_split(models, "|") if "|" in models else _split(models, ","))
    if not all(names) or len(set(names)) < len(names):
        raise UserError(f"--model expects names of recipes, each once, found {models!r}")
    for name in names:
        config.read(name, preset)
    found = _entries(names[0], typed)
    if not any(of.keys != (SEED,) for of in found[0]):
        found = _with_own(names, found)
    dimensions, fixed = found
    seeds = [of for of in dimensions if of.keys == (SEED,)]
    if seeds and seeds[0].choices is None:
        raise UserError(f"--seed expects seeds with commas between, found {typed[SEED]!r}")
    dimensions = [of for of in dimensions if of not in seeds]
    if len(names) > 1:
        dimensions = [Dimension((MODEL,), names), *dimensions]
    elif not dimensions and not seeds:
        raise UserError("nothing is varied: give a key several values or a range, such as"
                        " --optim.lr log:1e-4..1e-2, or several recipes: --model a,b")  # fmt: skip
    space = Space(names, preset, tuple(dimensions), fixed, seeds[0].choices if seeds else ())
    check_name(space.name, "--model")
    kinds = [_check(space, name) for name in names]
    dimensions = [
        of._replace(low=float(of.low), high=float(of.high)) if of.name in kinds[0] else of
        for of in dimensions
    ]
    return space._replace(dimensions=tuple(dimensions))


def refuse(space: Space) -> None:
    """Refuse a value with which no training would begin, neither alone nor with another value.

    Of a range its upper end stands for all.

    Raises:
        UserError: the line that the training would end with.
    """
    from local.training import refusals

    found = [of.settings(value) for of in space.dimensions if of.keys != (MODEL,)
             for value in (of.choices or (of.high,))]  # fmt: skip
    for model, settings in itertools.product(space.models, found or [{}]):
        fault = None
        for others in ({}, *found):
            conf = config.read(model, space.preset, space.fixed | others | settings)
            try:
                refusals.check(conf)
            except UserError as error:
                fault = fault or error
            else:
                break
        else:
            raise fault


def grid(space: Space) -> list[dict[str, str]]:
    """Every combination.

    Raises:
        UserError: a range, or too many.
    """
    for of in space.dimensions:
        if of.choices is None:
            raise UserError(f"--sampler grid: --{of.name} is a range; give its values, with commas"
                            " between, or take tpe or random")  # fmt: skip
    if space.size > LARGEST:
        raise UserError(f"a grid of {space.size:,} combinations: at most {LARGEST:,}; vary less, or"
                        " take --sampler tpe or random")  # fmt: skip
    return list(space.combinations())


def _entries(recipe: str, texts: dict[str, str]) -> tuple[list[Dimension], dict[str, str]]:
    """What is varied, and what is set for all; keys are spelt as the recipe has them."""
    known = config.keys(recipe)
    dimensions, fixed, seen = [], {}, set()
    for words, text in texts.items():
        keys = tuple(config.match_key(key, known) for key in words.split(","))
        twice = seen & set(keys) or {key for key in keys if keys.count(key) > 1}
        if twice:
            raise UserError(f"--{min(twice)} is set twice")
        seen |= set(keys)
        entry = _dimension(keys, text)
        if isinstance(entry, Dimension):
            dimensions.append(entry)
        else:
            fixed[keys[0]] = entry
    return dimensions, fixed


def _dimension(keys: tuple[str, ...], text: str) -> Dimension | str:
    """A dimension of some keys, or the one text that is set for all."""
    name, several = ",".join(keys), len(keys) > 1
    between = RANGE.fullmatch(text)
    if between and not several:
        low, high = (
            int(end) if end.lstrip("+-").isdigit() else float(end) for end in between.groups()[1:]
        )
        return Dimension(keys, None, low, high, bool(between[1]))
    if text.startswith("log:") or re.match(rf"{NUMBER}\.\.", text):
        raise UserError(f"--{name} expects [log:]LOW..HIGH, found {text!r}")
    parts = _split(text, "|")
    if len(parts) == 1 and not several:
        parts = _split(text, ",")
        if len(parts) == 1:
            return text
    for part in parts:
        if not part or (several and not all(_split(part, ","))):
            raise UserError(f"--{name} expects values with | or commas between, found {text!r}")
        if several and len(_split(part, ",")) != len(keys):
            raise UserError(f"--{name} expects {len(keys)} values with commas between, then |,"
                            f" found {part!r}")  # fmt: skip
        if parts.count(part) > 1:
            raise UserError(f"--{name}: {part} appears twice")
    return Dimension(keys, tuple(parts))


def _with_own(names: tuple[str, ...], found: tuple) -> tuple[list[Dimension], dict[str, str]]:
    """Beside what was typed, what the one recipe's conf.yml says under ``tune``."""
    dimensions, fixed = found
    if len(names) > 1:
        return found
    own, set_for_all = _entries(names[0], {
        key: _text(value) for key, value in config.search_space(names[0]).items()
    })  # fmt: skip
    if set_for_all:
        key, text = next(iter(set_for_all.items()))
        raise UserError(f"recipes/{names[0]}/conf.yml: tune.{key} expects several values or a"
                        f" range, found {text!r}")  # fmt: skip
    own = [of for of in own if not set(of.keys) & set(fixed)]
    return [*own, *dimensions], fixed


def _text(value) -> str:
    """A value of YAML as it is typed on a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "|".join(map(_flow, value))
    return _flow(value)


def _flow(value) -> str:
    """One value in one line of YAML."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    return plain_yaml.dump(value).removesuffix("...\n").strip()


def _split(text: str, mark: str) -> list[str]:
    """The parts of a text between marks that stand in no bracket, without spaces around."""
    parts, open_ = [""], []
    for character in text:
        if character in PAIRS:
            open_.append(PAIRS[character])
        elif open_ and character == open_[-1]:
            open_.pop()
        if character == mark and not open_:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _check(space: Space, recipe: str) -> set[str]:
    """Whether a recipe takes every value of a space, each by itself; ranges at both ends.

    Returns:
        the ranges of numbers that need not be whole.

    Raises:
        UserError: it does not.
    """
    broken = set()
    config.read(recipe, space.preset, space.fixed)
    for seed in space.seeds:
        config.read(recipe, space.preset, space.fixed | {SEED: seed})
    for of in space.dimensions:
        if of.keys == (MODEL,):
            continue
        if of.choices is None and not (of.low < of.high and (of.low > 0 or not of.log)):
            least = "0 < LOW < HIGH" if of.log else "LOW < HIGH"
            raise UserError(f"--{of.name} expects a range with {least},"
                            f" found {of.low:g}..{of.high:g}")  # fmt: skip
        for value in of.choices or (of.low, of.high):
            settings = of.settings(value)
            conf = config.read(recipe, space.preset, space.fixed | settings)
            if of.choices is None and isinstance(config.flatten(conf)[of.name], float):
                broken.add(of.name)
    return broken

"""Settings: recipes/common.yml and a recipe's conf.yml are both the defaults and the schema.

common.yml holds every key that recipes share. A conf.yml holds ``class``, its arguments under
``model``, what the recipe does otherwise, and presets. A key stands with a comment where it
is first set, and brackets at the comment's head say what it may hold; the type is that of
the value there::

    lr: 1.0e-3        # [> 0] step size
    segment: 4.0      # [> 0] seconds
    interval: epoch   # [epoch | step] when it moves
    max_time: null    # [null or DD:HH:MM:SS] of training
    apply: []         # [speed | polarity] each of a list
    arguments: {}     # [free] checked where they are used

An int may stand for a float. ``null`` is taken where the brackets say so. Anything else is a
UserError that names the key and the nearest right one. Order: common.yml < conf.yml < preset <
overrides. A preset with ``like: NAME`` begins with the preset of that name in common.yml. What a
search varies unless told otherwise (local/tuning/space.py) stands last, under ``tune``: keys and
their values.
"""

import copy
import functools
import math
import re
import sys
from pathlib import Path

import yaml

from local import ROOT
from local.base import plain_yaml
from local.base.command_line import split_dotted
from local.base.errors import Parser, UserError, guard, nearest

COMMON, PRESETS, LIKE, SEARCH = "common.yml", "presets", "like", "tune"
OWN = ("class", "model")
"""What every conf.yml sets itself, with brackets; the rules for all else stand in common.yml."""
DURATION = "DD:HH:MM:SS"
NO_EFFECT = (
    "data.num_workers",
    "log",
    "trainer.accelerator",
    "trainer.checkpoint_steps",
    "trainer.devices",
    "trainer.max_epochs",
    "trainer.max_time",
    "trainer.num_nodes",
    "trainer.strategy",
)
"""Keys, or whole sections, with which an experiment may be continued though they differ."""


def recipes() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(path.parent.name for path in (ROOT / "recipes").glob("*/conf.yml"))


def presets(recipe: str) -> list[str]:
    """Names of a recipe's presets."""
    conf, _ = _parse(_conf_path(recipe))
    return [str(name) for name in conf.get(PRESETS) or ()]


def preset_settings(recipe: str, preset: str | None) -> dict:
    """What a preset sets, as dotted key -> value; nothing for None."""
    return {} if preset is None else dict(_load(recipe)[2][preset])


def keys(recipe: str) -> dict[str, str]:
    """The dotted keys that a recipe knows, with what stands in brackets behind each."""
    return _load(recipe)[1]


def search_space(recipe: str) -> dict:
    """What a search varies unless it is told: dotted keys -> a list of values, or a text.

    Raises:
        UserError: something else stands there.
    """
    path = _conf_path(recipe)
    found = _parse(path)[0].get(SEARCH) or {}
    if not isinstance(found, dict) or not all(isinstance(v, list | str) for v in found.values()):
        raise UserError(f"{path}: {SEARCH} expects keys of settings with a list of values or a"
                        f" range each (optim.lr: log:1e-4..1e-2), found {found!r:.60}")  # fmt: skip
    return {str(key): value for key, value in found.items()}


def common() -> dict:
    """The settings that all recipes share, as recipes/common.yml has them."""
    conf, _ = _parse(ROOT / "recipes" / COMMON)
    return {key: value for key, value in conf.items() if key != PRESETS}


def describe_preset(recipe: str, preset: str) -> str:
    """What a preset is, in one line: the comment behind its name, or that of the one it is like."""
    path = _conf_path(recipe)
    like = (_parse(path)[0][PRESETS][preset] or {}).get(LIKE)
    for file, name in ((path, preset), (ROOT / "recipes" / COMMON, like)):
        text = plain_yaml.read_text(file).partition(f"\n{PRESETS}:")[2]
        found = re.search(rf"^  {re.escape(str(name))}:[ ]*#[ ]*(.*)$", text, re.MULTILINE)
        if found:
            return found.group(1).strip()
    return ""


def describe(recipe: str) -> str:
    """What a recipe is, in one line: the first comment line of its conf.yml."""
    with open(_conf_path(recipe), encoding="utf-8") as lines:
        return next(lines).lstrip("# ").strip()


def read(recipe: str, preset: str | None = None, overrides: dict | None = None) -> dict:
    """The resolved settings of a recipe.

    Args:
        recipe: name of a folder below ``recipes/``.
        preset: name of a partial tree below ``presets:``, or None for the full settings.
        overrides: dotted key -> value, or -> string as typed on a command line.

    Raises:
        UserError: an unknown recipe, preset or key, a wrong type, a value out of range.
    """
    conf, specs, presets = _load(recipe)
    if preset is not None:
        if preset not in presets:
            known = ", ".join(presets)
            raise UserError(f"unknown preset {preset!r} of {recipe}{nearest(preset, presets)}"
                            f" (it has: {known})")  # fmt: skip
        for key, value in presets[preset].items():
            _put(conf, key, value)
    for key, value in (overrides or {}).items():
        key = match_key(key, specs)
        if isinstance(value, str):
            value = _typed(value, key, specs[key])
        _put(conf, key, _check(key, value, conf, specs, "command line"))
    return conf


def flatten(tree: dict, prefix: str = "", stop: dict | None = None) -> dict:
    """``{"a": {"b": 1}}`` -> ``{"a.b": 1}``; mappings that are values (in ``stop``) stay whole."""
    flat = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not (stop and key in stop) and (value or not stop):
            flat |= flatten(value, f"{key}.", stop)
        else:
            flat[key] = value
    return flat


def differences(a: dict, b: dict) -> list[str]:
    """Dotted keys in which two settings differ and that can change the result."""
    flat_a, flat_b = flatten(a), flatten(b)
    keys = [k for k in flat_a | flat_b if flat_a.get(k, ...) != flat_b.get(k, ...)]
    return [k for k in keys if not any(k == n or k.startswith(f"{n}.") for n in NO_EFFECT)]


def match_key(key: str, known: dict) -> str:
    """The committed spelling of a key (dashes and underscores are the same).

    Raises:
        UserError: there is none; the line names the nearest.
    """
    spelt = {name.replace("-", "_"): name for name in known}
    plain = key.replace("-", "_")
    if plain in spelt:
        return spelt[plain]
    inside = [name for name in spelt if name.startswith(f"{plain}.")]
    if inside:
        raise UserError(f"--{key} is a section; name one of its keys, such as --{inside[0]}")
    raise UserError(f"unknown key --{key}{nearest(plain, spelt)}")


def _load(recipe: str) -> tuple[dict, dict[str, str], dict[str, dict]]:
    """A recipe's settings without a preset, the spec of each key, its presets as dotted keys."""
    path, shared_path = _conf_path(recipe), ROOT / "recipes" / COMMON
    tree, own_specs = _parse(path)
    shared, specs = _parse(shared_path)
    for key in OWN:
        if key not in tree:
            raise UserError(f"{path}: expected the key {key!r}, which every recipe sets itself")
    tree.pop(SEARCH, None)
    trees, to_like = tree.pop(PRESETS, None) or {}, shared.pop(PRESETS, None) or {}
    conf = {key: tree.pop(key) for key in OWN} | shared
    specs = {key: spec for key, spec in own_specs.items() if key.split(".")[0] in OWN} | specs
    for key, value in flatten(conf, stop=specs).items():
        if (key, value) != ("model", {}):  # a network may have nothing to set
            _check(key, value, conf, specs, str(path if key.split(".")[0] in OWN else shared_path))
    for key, value in _partial(tree, conf, specs, str(path)).items():
        _put(conf, key, value)
    if not isinstance(trees, dict):
        raise UserError(f"{path}: {PRESETS} expects a mapping of presets, found {trees!r}")
    presets = {}
    for name, part in trees.items():
        where, own, base = f"{path}, preset {name}", part or {}, {}
        if isinstance(own, dict) and LIKE in own:
            like = own.pop(LIKE)
            if not isinstance(like, str) or like not in to_like:
                raise UserError(f"{where}: {LIKE} expects one of {', '.join(to_like)} of {COMMON},"
                                f" found {like!r}{nearest(str(like), to_like)}")  # fmt: skip
            base = _partial(to_like[like], conf, specs, f"{shared_path}, preset {like}")
        presets[name] = base | _partial(own, conf, specs, where)
    return conf, specs, presets


def _partial(tree, conf: dict, specs: dict, where: str) -> dict:
    """Dotted key -> value of a tree that sets some keys.

    Raises:
        UserError: no mapping, or a key or value that may not be.
    """
    if not isinstance(tree, dict):
        raise UserError(f"{where} expects a mapping of settings, found {tree!r}")
    flat = flatten(tree, stop=specs)
    return {key: _check(key, value, conf, specs, where) for key, value in flat.items()}


def _conf_path(recipe: str) -> Path:
    path = ROOT / "recipes" / recipe / "conf.yml"
    if recipe not in recipes():
        raise UserError(f"unknown model {recipe!r}{nearest(recipe, recipes())}")
    return path


class _Loader(plain_yaml.Loader):
    """Plain YAML 1.1, but ``1e-3`` is a number and no key may stand twice."""

    def construct_mapping(self, node, deep=False):
        names = []
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in names:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {str(name)!r} appears twice", key.start_mark
                )
            names.append(name)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node) -> int | str:
        """PyYAML's takes 010 for 8 and 1:30 for 90; here both are text."""
        text = re.search("^[-+]?0[0-7_]|:", node.value)
        return node.value if text else super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _parse(path: Path) -> tuple[dict, dict[str, str]]:
    """The tree of a file of settings, and for each key the spec (``""`` without brackets)."""
    return copy.deepcopy(_parse_text(plain_yaml.read_text(path), path))


@functools.lru_cache(maxsize=64)
def _parse_text(text: str, path: Path) -> tuple[dict, dict[str, str]]:
    """As ``_parse``; a search reads the same files for each of its values."""
    conf, root = plain_yaml.parse_with_marks(text, str(path), _Loader)
    if not isinstance(conf, dict):
        raise UserError(f"{path}: expected a mapping of settings")
    lines, specs = text.splitlines(), {}

    def walk(node, prefix):
        for key_node, value_node in node.value:
            key = f"{prefix}{key_node.value}"
            if key in (PRESETS, SEARCH):
                continue
            mark = value_node.end_mark
            tail = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
            found = re.match(r"\s*#\s*(?:\[([^\]]*)\])?", tail)
            spec = (found.group(1) or "").strip() if found else ""
            if isinstance(value_node, yaml.MappingNode) and value_node.value and spec != "free":
                walk(value_node, f"{key}.")
            elif not (isinstance(value_node, yaml.MappingNode) and spec != "free"):
                specs[key] = spec

    walk(root, "")
    return conf, specs


def _get(conf: dict, key: str):
    for name in key.split("."):
        conf = conf[name]
    return conf


def _put(conf: dict, key: str, value) -> None:
    *sections, name = key.split(".")
    for section in sections:
        conf = conf[section]
    conf[name] = copy.deepcopy(value)


def _typed(text: str, key: str, spec: str):
    """A string from the command line as the YAML scalar or flow list that it spells."""
    is_text = spec.removeprefix("null or ").strip() in ("str", DURATION)
    if text == "" or (is_text and text != "null"):
        return text
    return plain_yaml.parse(text, f"--{key}", _Loader)


def _check(key: str, value, conf: dict, specs: dict, where: str):
    """``value`` if ``key`` may hold it.

    Raises:
        UserError: unknown key, wrong type, out of range.
    """
    if key not in specs:
        if any(name.startswith(f"{key}.") for name in specs):
            raise UserError(f"{where}: {key} expects a mapping of settings, found {value!r}")
        raise UserError(f"{where}: unknown key {key!r}{nearest(key, specs)}")
    spec, committed = specs[key], _get(conf, key)
    nullable = spec == "null" or spec.startswith("null or ") or committed is None
    if value is None and nullable:
        return None
    rule = spec.removeprefix("null or ").strip()
    kind = _kind(committed, rule)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is not None and type(value) is not kind:
        names = {dict: "a mapping", list: "a list", str: "a string", bool: "true or false",
                 int: "a whole number", float: "a number"}  # fmt: skip
        expected = names[kind] + (" or null" if nullable else "")
        raise UserError(f"{where}: {key} expects {expected}, found {value!r}")
    if kind is list and committed:
        inner = type(committed[0])
        if inner is float:
            value = [float(v) if type(v) is int else v for v in value]
        # of words that are chosen from, one may choose none
        none = not value and "|" not in rule
        if none or any(type(v) is not inner for v in value):
            raise UserError(f"{where}: {key} expects a list like {committed}, found {value!r}")
    numbers = [v for v in (value if kind is list else [value]) if type(v) is float]
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{where}: {key} expects a finite number, found {value!r}")
    _check_range(key, value, rule, where)
    return value


def _kind(committed, rule: str) -> type | None:
    """The type a key takes: that of the committed value, or what the brackets name."""
    named = {"str": str, DURATION: str, "int": int, "float": float, "bool": bool, "list": list}
    if committed is not None:
        return type(committed)
    if rule in named:
        return named[rule]
    if rule.startswith((">", "<")) or " to " in rule:
        return float if "." in rule else int if re.match(">= [1-9]", rule) else float
    return str if "|" in rule else None


def _check_range(key: str, value, rule: str, where: str) -> None:
    """Whether a value, or each of a list, is one that the brackets name."""
    for item in value if isinstance(value, list) else [value]:
        _check_item(key, item, rule, where)


def _check_item(key: str, value, rule: str, where: str) -> None:
    bound = re.fullmatch(r"(>=|>|<=|<)\s*(\S+)", rule)
    between = re.fullmatch(r"(\S+) to (\S+)", rule)
    if (bound or between) and type(value) not in (int, float):
        right = False
    elif bound:
        sign, limit = bound.group(1), float(bound.group(2))
        right = {">": value > limit, ">=": value >= limit,
                 "<": value < limit, "<=": value <= limit}[sign]  # fmt: skip
    elif between:
        right = float(between.group(1)) <= value <= float(between.group(2))
    elif rule == DURATION:
        right = re.fullmatch(r"\d+(:\d+){3}", str(value))
    elif "|" in rule or (isinstance(value, str) and rule not in ("", "str", "free", "null")):
        choices = [choice.strip() for choice in rule.split("|")]
        if value not in choices:
            raise UserError(f"{where}: {key} expects one of {', '.join(choices)},"
                            f" found {value!r}{nearest(value, choices)}")  # fmt: skip
        return
    else:
        return
    if not right:
        raise UserError(f"{where}: {key} expects {rule}, found {value!r}")


def main() -> None:
    """Check settings as given on the command line and print them resolved."""
    parser = Parser(prog="python -m local.base.config", description=main.__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--preset")
    own, overrides = split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    conf = read(args.model, args.preset, overrides)
    print(plain_yaml.dump(conf), end="")


if __name__ == "__main__":
    guard(main)

"""What the checkout holds, read without packages: recipes, names of settings, extras.

Standard library only and any Python from 3.8 on, as local/shell/options.py.
"""

from __future__ import annotations

import configparser
import difflib
import re

from local import ROOT


def recipes() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(path.parent.name for path in (ROOT / "recipes").glob("*/conf.yml"))


def shipped() -> str:
    """The recipe whose weights ship, the first that recipes/shipped.yml names as a default."""
    text = (ROOT / "recipes" / "shipped.yml").read_text(encoding="utf-8")
    return re.search(r"^default:\W*(\w+)", text, re.MULTILINE)[1]


def first_line(recipe: str) -> str:
    """What a recipe is: the first comment line of its conf.yml."""
    with open(ROOT / "recipes" / recipe / "conf.yml", encoding="utf-8") as lines:
        return next(lines).lstrip("# ").strip()


def setting_names(recipe: str) -> list[str]:
    """Dotted names of settings by their indentation: for hints, where nothing reads YAML yet."""
    names, sections = [], []
    for path in ("common.yml", f"{recipe}/conf.yml"):
        try:
            text = (ROOT / "recipes" / path).read_text(encoding="utf-8", errors="replace")
        except OSError:  # the recipe itself may be mistyped
            continue
        for line in re.split(r"\n(?:presets|tune):", text)[0].splitlines():
            found = re.match(r"( *)(\w[\w-]*):\s*([^\s#]?)", line)
            if found:
                depth = len(found[1]) // 2
                sections = [*sections[:depth], found[2]]
                names += [".".join(sections)] if found[3] else []
    return names


def nearest(word: str, candidates: list[str]) -> str:
    """The most similar one; of a dotted name its last part is enough (--lr for optim.lr)."""
    forms = {}
    for candidate in candidates:
        for form in (candidate, candidate.rpartition(".")[2]):
            forms.setdefault(form.replace("_", "-"), candidate)
    return forms[difflib.get_close_matches(word.replace("_", "-"), forms, n=1, cutoff=0.0)[0]]


def extras() -> list[str]:
    """Names of the extras in setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return list(setup["options.extras_require"])

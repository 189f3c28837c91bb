"""The rule of imports that local/README.md draws: who may import whom, and no circles."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

ROW = re.compile(r"\| `(\w+)` \|.*\|([\w ,]*)\|")
BELOW = {
    room: set(filter(None, below.replace(",", " ").split()))
    for room, below in ROW.findall((ROOT / "local" / "README.md").read_text(encoding="utf-8"))
}
"""Room -> rooms that it may import besides itself. Programs and recipes are imported by nobody."""
FACE = "local"  # local/__init__.py: ROOT and SOURCES, for everybody


def room_of(module: str) -> str:
    """The room of a module's dotted name."""
    first, _, rest = module.partition(".")
    if first == "recipes":
        return first
    return rest.split(".")[0] if "." in rest or (ROOT / "local" / rest).is_dir() else "programs"


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> list[tuple[str, int]]:
    """Every module of winnow that a file imports, anywhere in it, and the line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                known = inner.replace(".", "/")
                is_module = (ROOT / f"{known}.py").is_file() or (ROOT / known).is_dir()
                found.append((inner if is_module else node.module, node.lineno))
    return [(name, line) for name, line in found if name.split(".")[0] in ("local", "recipes")]


FILES = [*sorted(ROOT.glob("local/**/*.py")), *sorted(ROOT.glob("recipes/*/*.py"))]


def test_every_room_is_in_the_rule():
    folders = {path.parent.name for path in ROOT.glob("local/*/*.py")}
    assert folders | {"programs", "recipes"} == set(BELOW)
    assert set().union(*BELOW.values()) < folders
    list(TopologicalSorter(BELOW).static_order())  # the rule itself runs one way
    for room in folders:
        assert ast.get_docstring(ast.parse((ROOT / "local" / room / "__init__.py").read_text()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: name_of(path))
def test_imports_run_one_way(path):
    name = name_of(path)
    room = room_of(name)
    for module, line in imports(path):
        where = f"{path.relative_to(ROOT)}, line {line}: imports {module}"
        if module == FACE:
            continue
        assert room_of(module) != "programs", f"{where}, a program"
        if room_of(module) == "recipes":  # one recipe may be a variant of another
            assert room == "recipes", where
        elif room_of(module) != room:
            assert room_of(module) in BELOW[room], f"{where}, which {room} may not"


def test_no_circles():
    graph = {name_of(path): {module for module, _ in imports(path)} for path in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")

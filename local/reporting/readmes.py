"""Tables of results between markers of the READMEs, made from the committed results.csv.

``<!-- results:NAME -->`` begins such a place and ``<!-- /results -->`` ends it; ``local.results``
says what NAME may be.
"""

import re
from pathlib import Path

from local.base import config
from local.base.errors import UserError, nearest
from local.reporting import published, result_tables, rivals, speeds
from local.reporting.published import LIST, RESERVED, RIVALS, SHORT, SPEED

START, END = re.compile(r"<!-- results:(\S+) -->"), "<!-- /results -->"
NOT_RUN = "Not run yet."
RESULTS = "recipes/RESULTS.md"


def texts() -> dict[Path, str]:
    """What each README should be: its text, with today's tables between the markers.

    Raises:
        UserError: a marker without its end, or that names nothing.
    """
    paths = [published.ROOT / name for name in ("README.md", "recipes/README.md", RESULTS)]
    for recipe in config.recipes():
        folder = published.ROOT / "recipes" / recipe
        paths += [folder / "README.md", *sorted(folder.glob("pretrained/*.md"))]
    known = published.known_tables()
    rows = published.read_all(known)
    return {path: _filled(path, known, rows) for path in paths if path.is_file()}


def _filled(path: Path, known: dict, rows: list[dict]) -> str:
    """The text of a README with what belongs between its markers."""
    lines, opened = [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        start = START.fullmatch(line.strip())
        where = f"{path.relative_to(published.ROOT)}, line {number}"
        end = line.strip() == END
        if start and opened:
            break
        if end and not opened:
            raise UserError(f"{where}: {END} without <!-- results:NAME --> above it")
        if start:
            opened = where
            lines += [line, "", *_block(start.group(1), path, where, known, rows), ""]
        elif end or not opened:
            opened = None
            lines.append(line)
    if opened:
        raise UserError(f"{opened}: a marker without its end; expected {END} below it")
    return "\n".join(lines) + "\n"


def _block(name: str, path: Path, where: str, known: dict, rows: list[dict]) -> list[str]:
    """Lines of Markdown that NAME of a marker stands for."""
    folder = path.parent
    if name == LIST:
        return _recipe_list(path)
    if name == SHORT:
        return result_tables.short(rows, known, folder) or [NOT_RUN]
    if name == SPEED:
        found = speeds.read(published.ROOT)
        return speeds.markdown(found, lambda recipe: result_tables.link(recipe, folder)) or [
            NOT_RUN
        ]
    if name == RIVALS:
        home = "../" if folder.name == "pretrained" else ""
        found = rivals.read(folder / home / rivals.FILE)
        return rivals.markdown(found, home) if len(found) else [NOT_RUN]
    if name in config.recipes():
        own = [row for row in rows if row["recipe"] == name]
        return result_tables.of_recipe(own, known, folder) if own else [NOT_RUN]
    if name in known:
        chosen = [row for row in rows if row["table"] == name]
        return result_tables.full(chosen, known[name], folder) if chosen else [NOT_RUN]
    names = [*known, *config.recipes(), *RESERVED]
    raise UserError(f"{where}: unknown table {name!r}{nearest(name, names)}")


def _recipe_list(path: Path) -> list[str]:
    """All recipes, one line each, with links that hold in the file at ``path``."""
    lines = []
    for recipe in config.recipes():
        lines.append(
            f"- [{recipe}]({result_tables.link(recipe, path.parent)}): {config.describe(recipe)}"
        )
    return lines

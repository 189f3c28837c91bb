"""YAML of plain types, as winnow reads and writes it: small, shallow and without aliases.

A short file with aliases can unfold to gigabytes, and one with many brackets ends Python; here
each is one line.
"""

from pathlib import Path

import yaml

from local.base.errors import UserError
from local.base.file_kind import irregular

LARGEST = 2**20  # bytes: what is written here has some thousands
DEPTH = 32  # what is written here has 6


class _Dumper(yaml.SafeDumper):
    """Safe YAML without aliases: what stands twice is written twice."""

    def ignore_aliases(self, data) -> bool:
        """PyYAML asks this of every value."""
        return True


class Loader(yaml.SafeLoader):
    """Safe YAML without aliases, nested no deeper than ``DEPTH``.

    Both are seen before a value is built: a short file can unfold to gigabytes.
    """

    depth = 0

    def compose_node(self, parent, index):
        """PyYAML's, which calls itself for what is inside."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "expected no alias", event.start_mark)
        self.depth += 1
        if self.depth > DEPTH:
            problem = f"nested deeper than {DEPTH}"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse(text: str, where: str, loader: type = Loader):
    """A text of YAML as plain types.

    Args:
        text: at most ``LARGEST`` characters.
        where: it is from, for the error's line.
        loader: ``Loader``, or a class of it.

    Raises:
        UserError: not YAML, or not of the plain kind.
    """
    return parse_with_marks(text, where, loader)[0]


def parse_with_marks(text: str, where: str, loader: type = Loader) -> tuple:
    """As ``parse``; beside the plain types PyYAML's root node, which knows what stood where."""
    if len(text) > LARGEST:
        raise UserError(f"{where}: expected {LARGEST:,} characters at most, found {len(text):,}")
    try:
        reader = loader(text)
        root = reader.get_single_node()
        return (None if root is None else reader.construct_document(root)), root
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{where}{line}: not YAML ({problem})") from None
    except (ValueError, TypeError, AttributeError, OverflowError, LookupError) as error:
        # PyYAML's, on 2020-13-45, !!int x or !!bool x
        raise UserError(f"{where}: not YAML ({' '.join(str(error).split())})") from None


def dump(tree) -> str:
    """Plain types as YAML, in their order.

    Raises:
        yaml.YAMLError: another type.
    """
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_text(path: Path) -> str:
    """The text of a file of YAML.

    Raises:
        UserError: it is missing, no regular file, larger than ``LARGEST``, or no UTF-8.
    """
    try:
        what = irregular(path)
        if what == "nothing there":
            raise UserError(f"{path}: not there")
        if what:
            raise UserError(f"{path}: expected a file, found {what}")
        size = path.stat().st_size
        if size > LARGEST:
            raise UserError(f"{path}: expected {LARGEST:,} bytes at most, found {size:,}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not YAML (not UTF-8: {error.reason}, byte {error.start})"
                        ) from None  # fmt: skip

"""Names of files, which to the system are bytes: in text files, on a terminal or a page, too long.

Python holds a byte that is no UTF-8 as a surrogate (PEP 383). Text files of ours that hold names
are opened with ``TEXT``, which writes that byte and reads it again; what people read is ``shown``.
Libraries in C are given ``os.fsencode(path)``.
"""

from __future__ import annotations  # run.sh reads its options with any Python 3

import os
from pathlib import Path

TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}
LONGEST = 255  # bytes of a name, nearly everywhere


def shown(text: str | Path) -> str:
    """Text on one line that any terminal and page can show: other bytes as ``\\xe9``."""
    text = str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def longest(folder: Path) -> int:
    """Bytes that a name in a folder, perhaps one yet to be made, may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):
        return LONGEST

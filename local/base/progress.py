"""Progress of long work: a bar on a terminal, and in a log file a line now and then."""

import sys
import time

from tqdm import tqdm

INTERVAL = 30.0  # seconds between lines
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {elapsed} gone, about {remaining} left"


class _Lines:
    """What tqdm draws, as lines of a log: no returns, no moves of a cursor, nothing empty."""

    def write(self, text: str) -> None:
        text = text.replace("\x1b[A", "").strip("\r\n ")
        if text:
            print(text, file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Each line is written at once."""


def bar(iterable=None, desc: str = "", total: int | None = None, unit: str = "", **options) -> tqdm:
    """tqdm's bar on standard error; no terminal: a line every ``INTERVAL``, none for short work.

    Args:
        iterable: what to go through; None: the caller says ``update``.
        desc: what is done.
        total: how many there are, where the iterable does not know.
        unit: of what is counted, in the plural.
        options: tqdm's.
    """
    options |= {"iterable": iterable, "desc": desc, "total": total, "unit": f" {unit}"}
    if sys.stderr.isatty():
        return tqdm(**options)
    return tqdm(**options | {"file": _Lines(), "mininterval": INTERVAL, "maxinterval": 2 * INTERVAL,
                             "delay": INTERVAL, "bar_format": LINE, "leave": False})  # fmt: skip


class Clock:
    """Says when the next line is due."""

    def __init__(self):
        self.start = self.last = time.monotonic()

    def due(self) -> bool:
        """Whether ``INTERVAL`` has passed since this was last so, or since the start."""
        now = time.monotonic()
        if now - self.last < INTERVAL:
            return False
        self.last = now
        return True

    @property
    def gone(self) -> str:
        """Since the start, ``MM:SS`` or ``H:MM:SS``."""
        return tqdm.format_interval(time.monotonic() - self.start)

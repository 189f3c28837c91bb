"""What progress looks like in a log file: whole lines, and few."""

import io
import sys
import time

import pytest

from local.base import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(monkeypatch, interval, stream=None):
    """What going through five things, with another five in each, writes to standard error."""
    stream = io.StringIO() if stream is None else stream
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "INTERVAL", interval)
    for _ in progress.bar(range(5), "looking", unit="folders"):
        with progress.bar(desc="inside", total=5, unit="s", leave=False) as bar:
            for _ in range(5):
                bar.update(1)
    return stream.getvalue()


def test_short_work_says_nothing_in_a_log(monkeypatch):
    assert told(monkeypatch, 1000.0) == ""


def test_a_log_holds_whole_lines(monkeypatch):
    text = told(monkeypatch, 0.0)
    lines = text.splitlines()
    assert "\r" not in text
    assert "\x1b" not in text
    assert all(line.startswith(("looking: ", "inside: ")) for line in lines)
    assert [line.split(",")[0] for line in lines if line.startswith("looking")] == [
        f"looking: {i} of 5 folders" for i in range(6)
    ]


def test_a_terminal_has_a_bar(monkeypatch):
    text = told(monkeypatch, 1000.0, Terminal())
    assert "\r" in text
    assert "5/5" in text


@pytest.mark.parametrize(("at", "due"), [(29.9, False), (30.0, True)])
def test_a_clock(monkeypatch, at, due):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = progress.Clock()
    now[0] = at
    assert clock.due() is due
    assert clock.due() is False
    now[0] = 3700.0
    assert clock.gone == "1:01:40"

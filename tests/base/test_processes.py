"""Which processes run: this one, one that has ended, one whose number is another's now."""

import os
import subprocess
import sys

from local.base import processes


def test_this_process_runs():
    began = processes.started(os.getpid())
    assert began.isalnum()
    assert processes.runs(os.getpid(), began)
    assert not processes.runs(os.getpid(), "1")  # its number was another's before


def test_a_process_that_has_ended_does_not_run():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = processes.started(child.pid)
    assert processes.runs(child.pid, began)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the list
    assert not processes.runs(child.pid, began)
    child.communicate()
    assert not processes.runs(child.pid, began)


def test_what_cannot_be_seen_may_run(monkeypatch):
    """As with /proc mounted with hidepid: the process of another user has no entry there."""
    monkeypatch.setattr(processes, "started", lambda pid: None)

    def refuse(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert processes.runs(os.getpid(), "1")


def test_a_machine_is_named_in_what_any_file_may_be_called():
    assert len(processes.machine()) == 8
    assert set(processes.machine()) <= set("0123456789abcdef")

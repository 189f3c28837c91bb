"""A stage as a child process: its log, why it failed, how it is stopped."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import toy_recipes

from local.base import stage_process
from local.base.errors import UserError


def test_a_stage_is_a_child_whose_words_go_to_the_log(tmp_path, monkeypatch):
    monkeypatch.chdir(toy_recipes.ROOT)
    log = tmp_path / "experiment" / "tune.log"
    assert stage_process.run_stage("base.config", ["--model=convtasnet"], log) is None
    fault = stage_process.run_stage("base.config", ["--model=convtasnt"], log)
    assert fault == (
        "winnow config: unknown model 'convtasnt'; did you mean 'convtasnet'?"
        f" (see {log})"
    )  # fmt: skip
    assert "class: ConvTasNet" in log.read_text()


def test_why_a_stage_failed_is_found_among_bars_of_progress(tmp_path, monkeypatch):
    program, log = tmp_path / "program", tmp_path / "log"
    monkeypatch.setattr(stage_process, "sys", SimpleNamespace(executable=str(program)))
    for said, fault in (
        (r"\rEpoch 0:  10%%\rEpoch 0:  20%%winnow train: diverged\n\rEpoch 0:  20%%\n",
         "winnow train: diverged"),
        (r"Traceback\n  here\nValueError: 3\n", "ValueError: 3"),  # not that of the time before
        ("", "exit code 2"),
    ):  # fmt: skip
        program.write_text(f"#!/bin/sh\nprintf '{said}'\nexit 2\n")
        program.chmod(0o755)
        assert stage_process.run_stage("train", [], log) == f"{fault} (see {log})"


def test_a_log_that_cannot_be_written_is_said_in_a_line(tmp_path):
    (tmp_path / "exp").write_text("not a folder")
    with pytest.raises(UserError, match=r"tune\.log: cannot be written: "):
        stage_process.run_stage("train", [], tmp_path / "exp" / "waveunet" / "tune.log")


@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_stopped_it_leaves_no_child_behind(tmp_path, monkeypatch, number, ends):
    program, pid = tmp_path / "sleeper", tmp_path / "pid"
    program.write_text(f'#!/bin/sh\necho $$ > "{pid}.new"\nmv "{pid}.new" "{pid}"\n'
                       "exec sleep 600\n")  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setattr(stage_process, "sys", SimpleNamespace(executable=str(program)))

    def interrupt():
        while not pid.is_file():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    def end(number, frame):
        raise AssertionError("this would have ended, and not its child")

    # what was started in the background ignores SIGINT, as a shell has it
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: end}
    before = {of: signal.signal(of, handler) for of, handler in handlers.items()}
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(ends):
            stage_process.run_stage("train", [], tmp_path / "log")
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        thread.join()
        for of, handler in before.items():
            signal.signal(of, handler)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_child_is_told_what_else_stands_in_its_environment(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$WORD and $HOME"\n')
    program.chmod(0o755)
    monkeypatch.setenv("HOME", "here")
    monkeypatch.setattr(stage_process, "sys", SimpleNamespace(executable=str(program)))
    assert stage_process.run_stage("train", [], tmp_path / "log", {"WORD": "one"}) is None
    assert (tmp_path / "log").read_text() == "one and here\n"

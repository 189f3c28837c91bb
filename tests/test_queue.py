"""Several recipes in turn: what is done, what is left as it is, what a failure holds up."""

import contextlib
import io
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import toy_recipes
import triplet_trees

from local import queue, train
from local.base import experiment, stage_process
from local.base.errors import UserError

RATE = 8000
SETTINGS = [
    "--data.sample_rate=8000", "--data.segment=0.25", "--data.batch_size=2",
    "--data.num_workers=0", "--trainer.accelerator=cpu", "--trainer.max_epochs=1",
]  # fmt: skip
BROKEN = toy_recipes.PLAIN.replace("return self.gains", "return float('nan') * self.gains")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with toy recipes and a data set ``d`` of 4 training mixtures."""
    monkeypatch.chdir(tmp_path)
    tree = triplet_trees.make_tree(tmp_path / "tree", {"train": 4, "valid": 2}, rate=RATE)
    triplet_trees.prepare(tree, "d", ("train", "valid"), RATE)
    for name, source in (("one", toy_recipes.PLAIN), ("bad", BROKEN), ("two", toy_recipes.FIT)):
        toy_recipes.make_recipe(tmp_path, name, source)
    toy_recipes.use_root(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def stages(place, monkeypatch):
    """Stage 1 in this process, and of stage 2 only that it was asked for; which were, in order."""
    asked = []

    def run_stage(stage, arguments, log):
        model = arguments[0].removeprefix("--model=")
        asked.append((stage, model))
        if stage == "evaluate":
            assert (log.parent / "best_model.pth").is_file()
            return None
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # a child's words go to its log
                train.main()
        except UserError as error:
            return str(error)
        return None

    monkeypatch.setattr(stage_process, "run_stage", run_stage)
    return asked


def call(monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", ["queue.py", *argv])
    queue.main()


def test_a_failure_is_a_line_at_the_end_and_the_others_are_done(stages, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, "one", "bad", "two", "one", "--name", "d", *SETTINGS)
    assert stop.value.code == 1
    assert stages == [("train", "one"), ("train", "bad"), ("train", "two"),
                      ("evaluate", "one"), ("evaluate", "two")]  # fmt: skip
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if "/3 " in line]
    assert lines[0].startswith("train 1/3 one: trained ")
    assert lines[0].endswith(" s, 1 s of audio seen")
    assert lines[1:] == [
        "train 2/3 bad: failed", "train 3/3 two: nothing to train by gradients",
        "evaluate 1/3 one: scored", "evaluate 3/3 two: scored",
    ]  # fmt: skip
    (last,) = [line for line in said.err.splitlines() if "failed" in line]
    assert last.startswith("bad: failed: the loss became nan in epoch 0")


def test_continues_where_it_was_interrupted(stages, monkeypatch):
    run_stage = stage_process.run_stage

    def interrupted(stage, arguments, log):
        if "--model=two" in arguments:
            raise KeyboardInterrupt
        return run_stage(stage, arguments, log)

    monkeypatch.setattr(stage_process, "run_stage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(monkeypatch, "one", "two", "--name", "d", "--tag", "t", *SETTINGS)
    model = experiment.exp_dir("d", "one", tag="t") / "best_model.pth"
    written = model.stat().st_mtime_ns
    monkeypatch.setattr(stage_process, "run_stage", run_stage)
    call(monkeypatch, "one", "two", "--name", "d", "--tag", "t", *SETTINGS)
    assert stages[-2:] == [("evaluate", "one"), ("evaluate", "two")]
    assert model.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["one", "thre", "--name", "d"], "unknown model 'thre'"),
        (["one", "two", "--name", "d", "--model.gian", "1"], "did you mean 'model.gain'"),
        (["one", "--name", "d", "--preset", "large"], "unknown preset 'large'"),
        (["one", "--name", "e"], "data/e/train.csv: not there; stage 0 makes it"),
        (["--name", "d"], "required: NAME"),
    ],
)
def test_faults_are_found_before_anything_is_trained(stages, monkeypatch, argv, message):
    with pytest.raises(UserError, match=message):
        call(monkeypatch, *argv)
    assert not stages


def test_a_stage_is_a_child_whose_words_go_to_the_log(tmp_path, monkeypatch):
    monkeypatch.chdir(toy_recipes.ROOT)
    log = tmp_path / "experiment" / "queue.log"
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
    with pytest.raises(UserError, match=r"queue\.log: cannot be written: "):
        stage_process.run_stage("train", [], tmp_path / "exp" / "waveunet" / "queue.log")


def test_interrupted_it_leaves_no_child_behind(tmp_path, monkeypatch):
    program, number = tmp_path / "sleeper", tmp_path / "pid"
    program.write_text(f'#!/bin/sh\necho $$ > "{number}.new"\nmv "{number}.new" "{number}"\n'
                       "exec sleep 600\n")  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setattr(stage_process, "sys", SimpleNamespace(executable=str(program)))

    def interrupt():
        while not number.is_file():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # what was started in the background ignores it, as a shell has it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        stage_process.run_stage("train", [], tmp_path / "log")
    thread.join()
    signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)

"""The lock of the environment: who waits, who removes it, and what stands in its way."""

import os
import subprocess

import pytest
from pretended_machines import Machine, assert_refused, bash

from local.base import processes


@pytest.fixture
def machine(checkout, tmp_path):
    return Machine(checkout, tmp_path)


def test_two_at_once_install_once(machine):
    machine.python("python3.12")
    processes = [machine.start(PIP_TAKES="2") for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert machine.installed() == ["."]
    assert sum("waiting for it" in text for text in errors) == 1


def locked(machine, owner):
    state = machine.checkout / ".venv" / "winnow"
    state.mkdir(parents=True)
    (state / "lock").symlink_to(owner)
    return state / "lock"


def test_the_lock_of_a_process_that_has_ended_is_removed(machine):
    machine.python("python3.12")
    began = processes.started(os.getpid())
    # the number is that of a live process, which began at another time
    lock = locked(machine, f"{os.uname().nodename} {os.getpid()} {int(began) - 1}")
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert "waiting" not in result.stderr
    assert not lock.is_symlink()


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        # a live one here, as this test is, whoever it belongs to
        ("{host} {pid} {began}", ["another run (process {pid}) installs .venv; waiting"]),
        ("elsewhere {gone} 77", ["process {gone} of the machine elsewhere", "delete", "lock"]),
        ("12345", ["of the machine 12345", "delete", "lock"]),  # of another version
        ("", ["of the machine ?", "delete", "lock"]),
    ],
)
def test_a_lock_that_may_be_held_is_waited_for_and_named(machine, owner, words):
    machine.python("python3.12")
    child = subprocess.Popen(["true"])
    child.wait()
    known = {"host": os.uname().nodename, "pid": os.getpid(), "gone": child.pid,
             "began": processes.started(os.getpid())}  # fmt: skip
    lock = locked(machine, owner.format(**known) or " ")
    process = machine.start()
    line = process.stderr.readline()
    assert all(word.format(**known) in line for word in words), line
    assert str(lock) in line or "delete" not in line
    assert lock.is_symlink()
    lock.unlink()  # as it says
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert machine.installed() == ["."]


@pytest.mark.parametrize(
    ("refusal", "ended"), [("No such process", True), ("Operation not permitted", False)]
)
def test_what_is_hidden_is_not_taken_for_ended(machine, refusal, ended):
    """As where /proc hides the processes of other users."""
    found = bash(
        machine,
        "started() { :; }\n"
        f"kill() {{ echo 'bash: kill: (7) - {refusal}' >&2; return 1; }}\n"
        'judge "$(uname -n) 7 55"; echo "$REPLY"',
    )
    assert (found == "ended\n") == ended
    assert ended or "delete" in found


@pytest.mark.parametrize("tool", ["ln", "mkdir"])
def test_no_room_and_no_permission_are_not_taken_for_a_lock(machine, tool):
    machine.python("python3.12")
    (machine.bin / tool).unlink()
    (machine.bin / tool).write_text(
        f"#!/bin/sh\necho '{tool}: cannot create x: No space left on device' >&2\nexit 1\n"
    )
    (machine.bin / tool).chmod(0o755)
    assert_refused(machine.run(), "cannot write in", "No space left on device")


def test_no_room_for_a_file_of_the_installation(machine):
    machine.python("python3.12")
    state = machine.checkout / ".venv" / "winnow"
    (state / "pins.new").mkdir(parents=True)  # nothing can be written there, not even by root
    assert_refused(machine.run(), "writing .venv/winnow/pins.new failed", "Is a directory")


def test_an_old_lock_that_cannot_be_removed(machine):
    machine.python("python3.12")
    locked(machine, f"{os.uname().nodename} {os.getpid()} 1")
    (machine.bin / "mv").unlink()
    (machine.bin / "mv").write_text("#!/bin/sh\necho 'mv: x: Permission denied' >&2\nexit 1\n")
    (machine.bin / "mv").chmod(0o755)
    assert_refused(machine.run(), "cannot remove", "Permission denied")


def test_a_lock_that_another_run_took_meanwhile_is_left_to_it(machine):
    """Two runs judge an old lock; the other one has removed it and has its own there by now."""
    lock = locked(machine, "here 1 1")
    bash(
        machine,
        "judged=\njudge() {\n"
        "  [[ -z $judged ]] || exit 0\n"
        '  judged=yes REPLY=ended; rm -f "$STATE/lock"; ln -s "another 2 2" "$STATE/lock"\n'
        "}\nlock",
    )
    assert os.readlink(lock) == "another 2 2"
    assert os.listdir(lock.parent) == ["lock"]


def test_what_stands_in_the_place_of_the_lock_is_named(machine):
    machine.python("python3.12")
    (machine.checkout / ".venv" / "winnow" / "lock").mkdir(parents=True)
    assert_refused(machine.run(), str(machine.checkout / ".venv/winnow/lock"), "in the way")

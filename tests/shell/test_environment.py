"""The environment that run.sh makes: when, from what, and what it says where it cannot.

A machine here is a PATH of a few tools, with interpreters that pretend: another version, no venv
module, a pip that only notes what it was asked for. They run every stage as nothing.
"""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time

import pytest
from conftest import ROOT, bare, extras

from local.base import processes

TOOLS = ("awk", "bash", "cat", "cmp", "cp", "dirname", "env", "find", "grep", "ln", "ls", "mkdir",
         "mv", "readlink", "rm", "sed", "sleep", "uname")  # fmt: skip
COMPILER = sysconfig.get_config_var("CC").split()[0]

# What follows takes the place of an interpreter; the names in braces are filled in.
INTERPRETER = """#!{python} -IS
import json, os, runpy, shutil, subprocess, sys, sysconfig, time

def main():
    if sys.argv[1] == "-c":
        sys.version_info = {version}
        if not {venv}:
            sys.modules["ensurepip"] = None
        if not {headers}:
            sysconfig.get_path = lambda name: "/no/such/include"
        code, sys.argv = sys.argv[2], ["-c", *sys.argv[3:]]
        exec(code, {{"__name__": "__main__"}})
    elif sys.argv[1:3] == ["-m", "local.shell.options"]:
        sys.path.insert(0, os.getcwd())
        sys.argv[:3] = ["options.py"]
        runpy.run_module("local.shell.options", run_name="__main__")
    elif sys.argv[1:3] == ["-m", "venv"]:
        os.makedirs(sys.argv[3] + "/bin", exist_ok=True)
        shutil.copy(sys.argv[0], sys.argv[3] + "/bin/python")
    elif sys.argv[1:3] == ["-m", "pip"]:
        with open(os.environ["PIP_CONSTRAINT"]) as file:
            constraints = file.read().split("\\n")
        with open({log!r}, "a") as log:
            log.write(json.dumps([sys.argv[-1], constraints, sys.argv]) + "\\n")
        open(".venv/half-made", "w").close()
        time.sleep(float(os.environ.get("PIP_TAKES", 0)))
        if os.environ.get("PIP_SAYS"):
            sys.exit(os.environ["PIP_SAYS"])

main()
"""


class Machine:
    """A PATH with tools and interpreters of one's choice, and a copy of the checkout."""

    def __init__(self, checkout, folder):
        self.checkout, self.bin, self.log = checkout, folder / "bin", folder / "pip.log"
        self.bin.mkdir()
        for tool in (*TOOLS, COMPILER):
            (self.bin / tool).symlink_to(shutil.which(tool))

    def python(self, name, version=(3, 12), venv=True, headers=True):
        path = self.bin / name
        log = str(self.log)
        path.write_text(
            INTERPRETER.format(
                python=sys.executable, version=version, venv=venv, headers=headers, log=log
            )
        )
        path.chmod(0o755)

    def start(self, *words, **env):
        return subprocess.Popen(
            [str(self.checkout / "run.sh"), *words], cwd=self.bin,
            env={"PATH": str(self.bin)} | env, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words, **env):
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def installed(self):
        """What pip was asked to install, call by call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line)[0] for line in lines]


@pytest.fixture
def machine(checkout, tmp_path):
    return Machine(checkout, tmp_path)


def assert_refused(result, *parts):
    """Exit code 2, and the last line (nothing but notes before it) holds every part."""
    *notes, line = result.stderr.splitlines()
    assert result.returncode == 2, result.stderr
    assert all(part in line for part in parts), line
    assert all(note.startswith(("run.sh: making ", "run.sh: installing ")) for note in notes)


def test_a_first_run_installs_the_pins_and_a_second_nothing(machine):
    machine.python("python3.12")
    first = machine.run()
    assert first.returncode == 0, first.stderr
    assert len([line for line in first.stderr.splitlines() if line.startswith("+ ")]) == 5
    second = machine.run()
    assert second.returncode == 0, second.stderr
    assert "making" not in second.stderr
    [(what, constraints, _)] = [json.loads(line) for line in machine.log.read_text().splitlines()]
    assert what == "."
    assert {"torch==2.11.0", "torchaudio==2.11.0", "huggingface_hub==2.4.0"} <= set(constraints)
    assert all("==" in line for line in constraints if line and not line.startswith("#"))


def test_it_is_made_again_when_a_pin_changes_and_not_for_another_setting(machine):
    machine.python("python3.12")
    machine.run()
    setup = machine.checkout / "setup.cfg"
    text = setup.read_text()
    assert "-ra" in text
    assert "tqdm==4.70.1" in text
    setup.write_text(text.replace("-ra", "-rA") + "# a comment\n")
    machine.run()
    assert machine.installed() == ["."]
    setup.write_text(text.replace("tqdm==4.70.1", "tqdm==4.70.2"))
    result = machine.run()
    assert "making .venv" in result.stderr
    assert machine.installed() == [".", "."]


def test_it_is_made_again_when_its_python_is_gone(machine):
    machine.python("python3.12")
    machine.run()
    python = machine.checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python")
    assert machine.run().returncode == 0
    assert machine.installed() == [".", "."]


def test_a_failed_installation_is_not_trusted(machine):
    machine.python("python3.12")
    for _ in range(2):
        assert_refused(machine.run(PIP_SAYS="ERROR: it broke"), "it broke", "install.log")
        (machine.checkout / ".venv" / "left-over").write_text("")
    assert machine.run().returncode == 0
    assert machine.installed() == [".", ".", "."]
    assert not (machine.checkout / ".venv" / "left-over").exists()


def test_a_killed_installation_is_not_trusted(machine):
    machine.python("python3.12")
    process = machine.start(PIP_TAKES="60")
    deadline = time.monotonic() + 30
    while not (machine.checkout / ".venv" / "half-made").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    result = machine.run()
    assert result.returncode == 0, result.stderr
    assert machine.installed() == [".", "."]


def test_two_at_once_install_once(machine):
    machine.python("python3.12")
    processes = [machine.start(PIP_TAKES="2") for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert machine.installed() == ["."]
    assert sum("waiting for it" in text for text in errors) == 1


def bash(machine, text, **env) -> str:
    """What bash prints that has sourced environment.sh."""
    line = f'set -euo pipefail; ROOT={machine.checkout.as_posix()!r}; cd "$ROOT"; '
    line += "source local/shell/environment.sh; " + text
    return subprocess.run(
        ["bash", "-c", line], env={"PATH": str(machine.bin)} | env, cwd=machine.checkout,
        text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip


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


def test_the_users_own_python_packages_are_not_imported(machine):
    own = {"PYTHONPATH": "/some/where", "PYTHONHOME": "/some/where", "PYTHONSAFEPATH": "1"}
    assert bash(machine, 'echo "${!PYTHON*}"', **own) == "\n"


@pytest.mark.parametrize("script", ["run.sh", "separate.sh"])
def test_a_foreign_numpy_on_the_path_changes_nothing(machine, tmp_path, script):
    """With the interpreter of this test; what it imports is its own."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "numpy.py").write_text("raise SystemExit('a foreign numpy')\n")
    words = {"run.sh": ["--stop-stage=0"], "separate.sh": ["no_such_file.wav"]}[script]
    python = machine.checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (machine.checkout / ".venv" / "winnow").mkdir()
    pins = bash(machine, "base_pins .venv/bin/python")
    (machine.checkout / ".venv" / "winnow" / "pins").write_text(pins)
    result = subprocess.run(
        [str(machine.checkout / script), *words], cwd=tmp_path, text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "foreign")}, check=False,
    )  # fmt: skip
    assert "a foreign numpy" not in result.stdout + result.stderr
    said = {"run.sh": "train: ", "separate.sh": "no_such_file.wav"}[script]
    assert said in result.stdout + result.stderr


def test_extras_come_when_they_are_needed_and_stay(machine):
    machine.python("python3.12")
    recipes, setup = machine.checkout / "recipes", machine.checkout / "setup.cfg"
    shutil.copytree(recipes / "convtasnet", recipes / "needy")
    text = setup.read_text()
    head = "[options.extras_require]\n"
    assert head in text
    setup.write_text(text.replace(head, f"{head}needy =\n    one-more==1.0\n"))
    last = [pins[-1] for pins in bare().values()][-1]  # the last word that pip is given
    for words in (["--model=convtasnet"], ["--model=needy"], ["--model=needy"], [],
                  ["--scheduler=tcp://somewhere"], ["--metrics=si,DNSMOS-SIG"],
                  ["--log.wandb=true"], ["--log.wandb", "false"],
                  ["--tune"], ["--test"], ["--test"]):  # fmt: skip
        result = machine.run(*words)
        assert result.returncode == 0, result.stderr
    one_by_one = ["cluster", "dnsmos", "wandb", "tune"]
    others = [name for name in extras() if name not in (*one_by_one, "needy")]
    asked = [f".[{name}]" for name in ("needy", *one_by_one)]
    assert machine.installed() == [".", *asked, f".[{','.join(others)}]", last]
    setup.write_text(setup.read_text().replace("one-more==1.0", "one-more==1.1"))
    machine.run("--model=convtasnet")
    machine.run("--model=needy")
    assert machine.installed()[8:] == [".[needy]"]


def test_a_package_of_which_only_files_are_used_comes_without_what_it_requires(machine):
    machine.python("python3.12")
    setup = machine.checkout / "setup.cfg"
    shutil.copytree(machine.checkout / "recipes" / "convtasnet", machine.checkout / "recipes/needy")
    text = setup.read_text()
    for head, pin in (("options.extras_require", "plain==1.0"), ("tool:winnow:bare", "bare==1.0")):
        text = text.replace(f"[{head}]\n", f"[{head}]\nneedy =\n    {pin}\n")
    setup.write_text(text)
    for _ in range(2):
        assert machine.run("--model=needy").returncode == 0
    assert machine.installed() == [".[needy]", "bare==1.0"]
    lines = machine.log.read_text().splitlines()
    assert ["--no-deps" in json.loads(line)[2] for line in lines] == [False, True]
    setup.write_text(setup.read_text().replace("bare==1.0", "bare==1.1"))
    machine.run("--model=needy")
    assert machine.installed()[2:] == [".[needy]", "bare==1.1"]


def test_an_extra_that_fails_leaves_the_rest_in_use(machine):
    machine.python("python3.12")
    machine.run()
    assert_refused(machine.run("--test", PIP_SAYS="ERROR: it broke"), "it broke")
    assert machine.run().returncode == 0
    machine.run("--test")
    every = f".[{','.join(extras())}]"
    alone = [pins[-1] for pins in bare().values()][-1]
    assert machine.installed() == [".", every, every, alone]


def test_the_first_python_that_fits_is_taken(machine):
    machine.python("python3.13", venv=False)
    machine.python("python3.11", version=(3, 11))
    machine.python("python3", version=(3, 9))
    assert f"with {machine.bin}/python3.11 " in machine.run().stderr


@pytest.mark.parametrize(
    ("pythons", "parts"),
    [
        ([], ["no Python 3.11 to 3.14 on the PATH", "apt-get install", "brew install"]),
        ([("python3", (3, 9))], ["python3 is 3.9", "3.11 to 3.14"]),
        ([("python3", (3, 15))], ["python3 is 3.15", "3.11 to 3.14"]),
        ([("python3", (4, 12))], ["python3 is 4.12", "3.11 to 3.14"]),
    ],
)
def test_no_python_that_fits(machine, pythons, parts):
    for name, version in pythons:
        machine.python(name, version)
    assert_refused(machine.run(), *parts)
    assert machine.installed() == []


def test_no_venv_module(machine):
    machine.python("python3", version=(3, 12), venv=False)
    assert_refused(machine.run(), "no venv module", "apt-get install python3.12-venv")


def test_no_compiler(machine):
    machine.python("python3.12")
    (machine.bin / COMPILER).unlink()
    assert_refused(machine.run(), f"no C compiler ({COMPILER})", "pesq", "build-essential")
    assert_refused(machine.run(CC="my-cc -O2"), "no C compiler (my-cc)")


def test_no_python_headers(machine):
    machine.python("python3.12", headers=False)
    assert_refused(machine.run(), "no Python.h in /no/such/include", "-dev")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after ...\nERROR: No matching distribution",
            "network",
        ),
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "disk is full"),
        (
            "ERROR: No matching distribution found for a-tool==1.0 (from winnow)",
            "there is no a-tool==1.0 for this machine (",
        ),
        ("a warning\nerror: command 'gcc' failed with exit code 1", "command 'gcc' failed"),
    ],
)
def test_the_line_names_what_ended_pip(machine, said, expected):
    machine.python("python3.12")
    assert_refused(machine.run(PIP_SAYS=said), expected, "install.log")


def test_no_network(machine):
    """With a real interpreter and its real pip, and an index that nobody serves."""
    (machine.bin / "python3").symlink_to(sys.executable)
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull,
               "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "1"}  # fmt: skip
    assert_refused(machine.run(**offline), "no network", "proxy")
    assert not (machine.checkout / ".venv" / "winnow" / "pins").exists()


def test_somebody_elses_environment_is_left_alone(machine):
    machine.python("python3.12")
    (machine.checkout / ".venv" / "bin").mkdir(parents=True)
    assert_refused(machine.run(), ".venv was not made by run.sh", "--python")
    assert (machine.checkout / ".venv" / "bin").exists()


def test_own_options_are_checked_before_the_environment_and_keys_after(machine):
    machine.python("python3", version=(3, 9))
    assert_refused(machine.run("--model=convtasnett"), "convtasnett")
    assert_refused(machine.run("--optim.lrr=3"), "no Python")
    assert not (machine.checkout / ".venv").exists()


def test_a_named_interpreter_must_have_the_packages_and_gets_none(machine):
    machine.python("bare", version=(3, 12, 0))
    assert_refused(machine.run("--python", "bare"), "lacks", "torch==2.11.0", "pesq==0.0.4")
    assert_refused(machine.run("--python", "./bare", "--test"), "lacks", "pytest==")
    machine.python("old", version=(3, 9, 2))
    assert_refused(machine.run("--python=old"), "is Python 3.9", "3.11")
    assert machine.installed() == []
    assert not (machine.checkout / ".venv").exists()


def test_every_requirement_is_pinned_exactly_and_to_one_version():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    constraints = (ROOT / "local" / "shell" / "constraints.txt").read_text()
    base = f"{setup['options']['install_requires']}\n{constraints}"
    of_extras = "\n".join(setup["options.extras_require"].values())
    # several extras may need one package, and no other version of it
    bare = "\n".join(setup["tool:winnow:bare"].values())
    lines = [*base.splitlines(), *set(of_extras.splitlines()), *bare.splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert sorted(names) == sorted(set(names))

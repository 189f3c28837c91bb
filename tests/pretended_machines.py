"""Machines on which run.sh makes its environment.

A machine here is a PATH of a few tools, with interpreters that pretend: another version, no venv
module, a pip that only notes what it was asked for. They run every stage as nothing.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig

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
        python = os.path.realpath(sys.executable)  # the checkout may have a space in its name
        path.write_text(
            INTERPRETER.format(python=python, version=version, venv=venv, headers=headers, log=log)
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


def assert_refused(result, *parts):
    """Exit code 2, and the last line (nothing but notes before it) holds every part."""
    *notes, line = result.stderr.splitlines()
    assert result.returncode == 2, result.stderr
    assert all(part in line for part in parts), line
    assert all(note.startswith(("run.sh: making ", "run.sh: installing ")) for note in notes)


def bash(machine, text, **env) -> str:
    """What bash prints that has sourced environment.sh."""
    line = f'set -euo pipefail; ROOT={machine.checkout.as_posix()!r}; cd "$ROOT"; '
    line += "source local/shell/environment.sh; " + text
    return subprocess.run(
        ["bash", "-c", line], env={"PATH": str(machine.bin)} | env, cwd=machine.checkout,
        text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip

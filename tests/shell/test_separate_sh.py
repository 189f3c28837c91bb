"""separate.sh: the environment first, then the program, where the user stands."""

import os
import subprocess
import sys

import pytest

STUB = f"""#!/usr/bin/env bash
case $1 in -c) exec {sys.executable!r} "$@" ;; esac
printf '%s\\n' "$PWD" "$PYTHONPATH" "$@" >>"$CALLS"
exit 7
"""


@pytest.fixture
def separate(checkout, tmp_path):
    """A function that runs separate.sh in a folder, with an environment that is whole and whose
    Python notes what it is called with -> exit code, what it noted."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STUB)
    python.chmod(0o755)
    state = checkout / ".venv" / "winnow"
    state.mkdir()
    calls = tmp_path / "calls"

    def bash(line):
        script = f"ROOT=$PWD; source local/shell/environment.sh; {line}"
        return subprocess.run(
            ["bash", "-euc", script], cwd=checkout, capture_output=True, text=True, check=True
        ).stdout

    (state / "pins").write_text(bash("base_pins .venv/bin/python"))

    def run(*words, cwd=tmp_path):
        process = subprocess.run(
            [str(checkout / "separate.sh"), *words], cwd=cwd, env=os.environ | {"CALLS": calls},
            capture_output=True, text=True,
        )  # fmt: skip
        return process, calls.read_text().splitlines() if calls.exists() else []

    run.bash = bash
    return run


def test_everything_is_passed_on_from_where_the_user_stands(separate, checkout, tmp_path):
    (tmp_path / "my files" / "local").mkdir(parents=True)
    words = ["a b.wav", "--model", "convtasnet", "--out=x y", "*.wav", ""]
    process, called = separate(*words, cwd=tmp_path / "my files")
    assert process.stderr == ""
    assert process.returncode == 7
    assert called == [str(tmp_path / "my files"), str(checkout), "-P", "-m", "local.separate",
                      *words]  # fmt: skip


def test_what_a_recipe_needs_is_installed_first(separate, checkout):
    setup = checkout / "setup.cfg"
    head = "[options.extras_require]\n"
    setup.write_text(setup.read_text().replace(head, f"{head}needy =\n    one-more==1.0\n"))
    for model in (["--model", "needy"], ["--model=needy"], ["--model", "wiener,needy"]):
        words = ["a.wav", *model]
        process, called = separate(*words)
        assert "separate.sh: installing what is needed for: needy" in process.stderr
        assert called[:3] == [str(checkout), "", "-m"]  # pip, which the stub makes fail
        assert process.returncode == 2
    (checkout / ".venv" / "winnow" / "extra-needy").write_text(separate.bash("pins needy"))
    process, called = separate("a.wav", "--model=needy")
    assert process.stderr == ""
    assert called[-1] == "--model=needy"
    process, _ = separate("needy", "--out", "needy", "--model")
    assert process.returncode == 7


def test_what_scoring_needs_is_installed_first(separate, checkout):
    process, called = separate("score", "recordings")
    assert "separate.sh: installing what is needed for: dnsmos" in process.stderr
    assert called[:3] == [str(checkout), "", "-m"]
    (checkout / ".venv" / "winnow" / "extra-dnsmos").write_text(separate.bash("pins dnsmos"))
    process, called = separate("score", "recordings")
    assert process.stderr == ""
    assert called[-2:] == ["score", "recordings"]


@pytest.mark.parametrize("words", [["--help"], ["a.wav", "-h"]])
def test_help_makes_no_environment(checkout, tmp_path, words):
    process = subprocess.run(
        [str(checkout / "separate.sh"), *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.stderr == ""
    assert process.stdout.startswith("usage: winnow")
    assert process.returncode == 0
    assert not (checkout / ".venv").exists()


def test_behind_two_dashes_stands_a_name(separate):
    process, called = separate("--", "-h")
    assert process.returncode == 7
    assert called[-2:] == ["--", "-h"]


def test_the_program_runs(checkout, tmp_path):
    """With the real interpreter, in a folder that holds another package of the same name."""
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "__init__.py").write_text("raise SystemExit('wrong')")
    command = [sys.executable, "-P", "-m", "local.separate", "no.wav"]
    process = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert process.stderr == "winnow: no.wav: no such file\n"
    assert process.returncode == 2

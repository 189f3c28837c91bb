"""The environment that run.sh makes: when, from what, and what it says where it cannot."""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, bare, extras
from pretended_machines import COMPILER, Machine, assert_refused, bash

from local.shell import options


@pytest.fixture
def machine(checkout, tmp_path):
    return Machine(checkout, tmp_path)


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


@pytest.mark.parametrize("words", [[], ["--tune"]])
def test_what_a_training_is_followed_with_is_installed(words):
    told = options.tell(str(ROOT), [*words, "--log.wandb=on"])
    assert ("extra", "wandb") in told
    assert ("extra", "wandb") not in options.tell(str(ROOT), [*words, "--log.wandb=off"])


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

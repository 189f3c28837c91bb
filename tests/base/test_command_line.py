"""Settings on a command line: taken out of its words, and checked by a program."""

import subprocess
import sys

import pytest
import yaml

from local import ROOT
from local.base import config
from local.base.errors import UserError


@pytest.mark.parametrize(
    ("argv", "own", "overrides"),
    [
        (["--name", "x", "--optim.lr", "1"], ["--name", "x"], {"optim.lr": "1"}),
        (["--optim.lr=1", "--name=x"], ["--name=x"], {"optim.lr": "1"}),
        (["--optim.lr="], [], {"optim.lr": ""}),
        (["--a.b", "-5"], [], {"a.b": "-5"}),
        (["--a.b-c", "1"], [], {"a.b_c": "1"}),
        (["--seed", "3"], [], {"seed": "3"}),
        (["--seed=3"], [], {"seed": "3"}),
        (["--mixture-consistency", "none"], [], {"mixture_consistency": "none"}),
        (["--class", "Toy"], [], {"class": "Toy"}),
        (["--data", "./a.b", "c.d"], ["--data", "./a.b", "c.d"], {}),
        (["--data=a.b"], ["--data=a.b"], {}),
        (["--a.b", "1", "--a.b", "2"], [], {"a.b": "2"}),
        (["--a.b", "x=y"], [], {"a.b": "x=y"}),
        (["--a.b=x=y"], [], {"a.b": "x=y"}),
        ([], [], {}),
    ],
)
def test_settings_are_taken_out_of_the_arguments(argv, own, overrides):
    assert config.split_dotted(argv) == (own, overrides)


@pytest.mark.parametrize(
    "argv", [["--optim.lr"], ["--name", "x", "--seed"], ["--optim.lr", "--preset", "tiny"]]
)
def test_a_setting_without_a_value(argv):
    with pytest.raises(UserError, match="needs a value"):
        config.split_dotted(argv)


def run(*argv, code=0):
    """The program that checks settings: (stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "local.base.config", *argv], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_program_prints_the_resolved_settings():
    out, _ = run("--model", "convtasnet", "--preset", "tiny", "--optim.lr", "3e-4", "--seed=5")
    expected = config.read("convtasnet", "tiny", {"optim.lr": 3e-4, "seed": 5})
    assert yaml.safe_load(out) == expected


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--model", "convtasnte"], ["'convtasnet'"]),
        (["--model", "convtasnet", "--optim.rl", "1"], ["'optim.lr'"]),
        (["--model", "convtasnet", "--preste", "tiny"], ["'--preset'"]),
        (["--model", "convtasnet", "--preste=tiny"], ["'--preset'"]),
        ([], ["--model"]),
    ],
)
def test_program_says_a_fault_in_one_line(argv, parts):
    out, err = run(*argv, code=2)
    assert out == ""
    assert err.startswith("winnow config: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err

"""The whole tree passes the linters that CONTRIBUTING.md names."""

import shutil
import subprocess
import sys
import sysconfig

import pytest
from conftest import ROOT

SHELLCHECK = shutil.which("shellcheck", path=sysconfig.get_path("scripts"))


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff(command):
    process = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout


def test_shellcheck():
    files = [*ROOT.glob("*.sh"), *ROOT.glob("local/**/*.sh"), ROOT / ".ci" / "run"]
    files += [*ROOT.glob("egs_data/**/*.sh"), *ROOT.glob("tests/**/*.sh")]
    process = subprocess.run([SHELLCHECK, *files], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout

"""What all tests share: the ``--slow`` option, quiet libraries, and copies of the checkout."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = {".git", ".venv", "data", "exp"}

# Before torch is imported, here and in every child process. One thread: sums in one order, so
# that a test gives the same numbers every time. No network: huggingface_hub retries for 23 s.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that take long too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        slow = [item for item in items if "slow" in item.keywords]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the checkout as git would clone it, in a folder with a space in its name."""

    def ignored(folder, names):
        top = NOT_SOURCE if Path(folder) == ROOT else set()
        return {
            n
            for n in names
            if n in top or n == "__pycache__" or n.endswith(("_cache", ".egg-info"))
        }

    return Path(shutil.copytree(ROOT, tmp_path / "a clone", ignore=ignored))

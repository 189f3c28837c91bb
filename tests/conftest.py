"""What all tests share: the ``--slow`` option, quiet libraries, and copies of the checkout."""

import configparser
import io
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = {".git", ".venv", "data", "exp"}

# Before torch is imported, here and in every child process. One thread: sums in one order, so
# that a test gives the same numbers every time. No network: huggingface_hub retries for 23 s.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
# What a shell starts in the background ignores Ctrl-C, and so would the programs that tests
# interrupt and then wait for.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Before tests import these: a failing assertion of theirs shows its values, as one of a test does.
pytest.register_assert_rewrite(
    "bss_signals", "compared_systems", "half_precision", "made_reports", "pretended_machines"
)


def extras() -> dict[str, list[str]]:
    """The extras of setup.cfg, in its order: their names and pins, ``package==version``."""
    return _pins("options.extras_require")


def bare() -> dict[str, list[str]]:
    """The same of the packages that are installed without what they require."""
    return _pins("tool:winnow:bare")


def _pins(section: str) -> dict[str, list[str]]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup[section].items()
    return {name: [line for line in text.split() if "==" in line] for name, text in listed}


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that take long too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        slow = [item for item in items if "slow" in item.keywords]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session")
def copy_checkout():
    """A function that copies the checkout, less what running it made, to a folder yet to be."""

    def ignored(folder, names):
        top = NOT_SOURCE if Path(folder) == ROOT else set()
        made = ("__pycache__", "_cache", ".egg-info")
        return {name for name in names if name in top or name.endswith(made)}

    return lambda to: Path(shutil.copytree(ROOT, to, ignore=ignored))


@pytest.fixture
def checkout(tmp_path, copy_checkout) -> Path:
    """A copy of the checkout as git would clone it, in a folder with a space in its name."""
    return copy_checkout(tmp_path / "a clone")


@pytest.fixture
def winnow(tmp_path, monkeypatch, capfd):
    """A function that runs the program in an empty folder -> exit code, lines on standard error.

    The default model is a toy at 8 kHz whose voice is 0.75 and whose noise 0.25 of the mixture.
    """
    import torch
    import toy_recipes

    from local import separate
    from local.model import checkpoint, pretrained, separators

    root, conf = tmp_path / "checkout", {"data.sample_rate": 8000}
    toy_recipes.make_recipe(root, "toy", toy_recipes.PLAIN, conf)
    toy_recipes.make_recipe(root, "free", toy_recipes.PLAIN, conf | {"mixture_consistency": "none"})
    toy_recipes.make_recipe(root, "oracle", toy_recipes.ORACLE, conf)
    toy_recipes.use_root(monkeypatch, root)
    monkeypatch.setattr(pretrained, "ROOT", root)
    (root / "recipes" / "shipped.yml").write_text("default: toy\n")
    for name, gains in (("toy", (0.75, 0.25)), ("free", (2.0, 0.5))):
        separator = separators.build(name)
        separator.network.gains.data = torch.tensor(gains)
        checkpoint.save(root / f"recipes/{name}/pretrained/toy.pth", separator, {})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["winnow", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            separate.main()
        return ended.value.code, capfd.readouterr().err.splitlines()

    yield run
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(scope="session")
def made_report(tmp_path_factory):
    """A report of two training seeds: folder of the experiment, manifest, folder of the report."""
    import made_reports

    return made_reports.two_seeds(tmp_path_factory.mktemp("report & more"))

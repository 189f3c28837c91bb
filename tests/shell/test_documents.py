"""What the documents name is there: links lead somewhere, run.sh takes commands and settings."""

import itertools
import re
import shlex
import sys

import pytest
from conftest import ROOT

from local import check
from local.base import config
from local.shell import options

DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "egs_data/*.md", "local/**/*.md", "recipes/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
HISTORY = "CHANGELOG.md"  # its commands may be those of another time
LINK = re.compile(r"\]\(([^)\s:]+)\)")  # a colon: another site
COMMAND = re.compile(r"^(\./run\.sh .*)|`(\./run\.sh [^`]*)`", re.MULTILINE)
FOLDERS = ("--data", "--voices", "--noises", "--rooms")
LATER = ("--data", "--find", "--train", "--metrics")  # what local.check does beside the settings
SETTING = re.compile(r"`(--[a-z_]+[. ][^`]*)`")  # such as `--model.mask binary`


def prose(document: str) -> str:
    """A document without what local.results writes into it."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.sub(r"<!-- results:.*?<!-- /results -->", "", text, flags=re.DOTALL)


def anchors(path) -> set[str]:
    """What links to headings of a document end with, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings}


def commands(document: str) -> list[list[str]]:
    """The words behind each ./run.sh of a document, with names in place of what stands for some."""
    text = re.sub(r"\\\n *", "", prose(document))
    for name, value in re.findall(r"^([A-Z]+)='([^']*)'$", text, re.MULTILINE):
        text = text.replace(f"${name}", value)
    text = re.sub(r"\[(--[^]]*)\]", r"\1", text)  # [--option]: one may leave it out
    text = text.replace("NAME,NAME,...", "convtasnet,unet")
    text = text.replace("--model NAME", "--model convtasnet")
    found = [shlex.split(block or inline, comments=True) for block, inline in COMMAND.findall(text)]
    return [list(itertools.takewhile(lambda word: word != "&&", words[1:])) for words in found]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for link in LINK.findall((ROOT / document).read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (ROOT / document).parent / name if name else ROOT / document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target / "README.md" if target.is_dir() else target), link


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != HISTORY])
def test_run_sh_takes_the_commands(document, tmp_path, monkeypatch):
    for words in commands(document):
        for option, value in itertools.pairwise(words):
            if option in FOLDERS:
                (tmp_path / value).mkdir(parents=True, exist_ok=True)
        if "--python" in words:  # any interpreter that the reader has
            continue
        told = options.tell(str(tmp_path), words)
        settings = [value for name, value in told if name == "check"]
        # neither with the data, which the reader has, nor with torch; a search needs what to vary
        settings = [word for word in settings if word.partition("=")[0] not in LATER]
        if settings and words != ["--tune"]:
            monkeypatch.setattr(sys, "argv", ["check", *settings])
            check.main()


@pytest.mark.parametrize("recipe", config.recipes())
def test_a_recipe_takes_the_settings(recipe):
    for text in SETTING.findall(prose(f"recipes/{recipe}/README.md")):
        words = shlex.split(text)
        if len(words) > 1 and not words[-1].isupper():  # a name alone, or NAME for its value
            own, changes = config.split_dotted(words)
            assert not own, text
            config.read(recipe, None, changes)

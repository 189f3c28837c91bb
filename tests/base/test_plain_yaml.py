"""YAML that would unfold, recurse or wait: each is one line, at once."""

import os

import pytest
import yaml

from local.base import plain_yaml
from local.base.errors import UserError

BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested deeper than 32"),
        ("a:\n" + "".join(" " * i + f"k{i}:\n" for i in range(1, 200)), "nested deeper than 32"),
        (BOMB, "line 2: not YAML (expected no alias)"),
        ("a: 2020-13-45", "month must be in 1..12"),
        ("a: 0b_", "not YAML"),
        ("a: !!int x", "not YAML"),
        ("a: !!timestamp x", "not YAML"),
        ("a: !!bool x", "not YAML"),
        ("a: !!float ''", "not YAML"),
        ("a: \0", "not YAML"),
        ("? [1]\n: 2", "not YAML"),
        ("a: " + "1" * 5000, "not YAML"),
        ("a" * 2**20 + "a", "expected 1,048,576 characters at most, found 1,048,577"),
    ],
    ids=["brackets", "blocks", "aliases", "date", "binary", "int", "time", "bool", "nothing",
         "zero byte", "key", "digits", "size"],
)  # fmt: skip
def test_a_text_that_is_refused_in_a_line(text, words):
    with pytest.raises(UserError) as caught:
        plain_yaml.parse(text, "a.yml")
    assert str(caught.value).startswith("a.yml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_as_deep_as_allowed_is_read():
    deep = "[" * 32 + "]" * 32
    assert plain_yaml.parse(deep, "a.yml") == yaml.safe_load(deep)
    with pytest.raises(UserError, match="nested deeper"):
        plain_yaml.parse(f"[{deep}]", "a.yml")
    wide = "[" + "[], " * 1000 + "]"  # depth, not number
    assert plain_yaml.parse(wide, "a.yml") == [[]] * 1000


def test_nothing_written_refers_to_another_place():
    twice = [1, 2]
    text = plain_yaml.dump({"a": twice, "b": twice})
    assert text == "a:\n- 1\n- 2\nb:\n- 1\n- 2\n"
    assert plain_yaml.parse(text, "a.yml") == {"a": [1, 2], "b": [1, 2]}


def test_what_is_no_regular_file_is_not_read(tmp_path):
    path = tmp_path / "a.yml"
    path.mkdir()
    with pytest.raises(UserError, match=r"a\.yml: expected a file"):
        plain_yaml.read_text(path)
    path.rmdir()
    os.mkfifo(path)  # which would be waited for
    with pytest.raises(UserError, match=r"a\.yml: expected a file"):
        plain_yaml.read_text(path)


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / "a.yml"
    with open(path, "wb") as file:
        file.truncate(2**40)  # more than any memory; the disk holds none of it
    with pytest.raises(UserError, match="bytes at most, found 1,099,511,627,776"):
        plain_yaml.read_text(path)

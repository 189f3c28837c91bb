"""Names that are not UTF-8, or hold what no terminal shows, and what a path is."""

import os
import socket

import pytest

from local.base import disk
from local.base.file_kind import irregular
from local.base.names import TEXT, longest, shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"caf\xe9.wav", r"caf\xe9.wav"),
        ("café.wav".encode(), "café.wav"),
        (b"two\nlines\x1b[2J", r"two\nlines\x1b[2J"),
        ("日本\u202eabc".encode(), "日本\\u202eabc"),
    ],
)
def test_what_is_shown_of_a_name(name, expected):
    assert shown(os.fsdecode(name)) == expected
    shown(os.fsdecode(name)).encode("utf-8")


def test_a_text_file_holds_the_bytes_of_a_name(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(os.fsdecode(b"caf\xe9.wav"), **TEXT)
    assert path.read_bytes() == b"caf\xe9.wav"
    assert os.fsencode(path.read_text(**TEXT)) == b"caf\xe9.wav"


def test_yaml_keeps_the_bytes_of_a_name(tmp_path):
    disk.write_yaml(tmp_path / "root.yml", {"root": os.fsdecode(b"/caf\xe9/\xc3\xa9")})
    assert os.fsencode(disk.read_yaml(tmp_path / "root.yml")["root"]) == b"/caf\xe9/\xc3\xa9"


def test_the_longest_name_can_be_made_and_no_longer_one(tmp_path):
    length = longest(tmp_path)
    (tmp_path / ("a" * length)).touch()
    with pytest.raises(OSError, match="too long"):
        (tmp_path / ("a" * (length + 1))).touch()
    assert longest(tmp_path / "not" / "yet") == 255


def test_what_a_path_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert irregular("file") is None
    assert irregular("link") is None
    os.mkfifo("pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind("socket")
    found = {name: irregular(name) for name in ("pipe", "dangling", "loop", "socket", "none")}
    assert found == {"pipe": "a pipe", "dangling": "a link to nothing",
                     "loop": "a link that leads to itself", "socket": "a socket",
                     "none": "nothing there"}  # fmt: skip
    assert irregular("/dev/null") == "a device"
    assert irregular(tmp_path) == "a folder"

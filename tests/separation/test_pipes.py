"""Recordings from pipes: whole, empty, silent, and without room for them."""

import errno
import io
import os
import tempfile
import threading

import numpy as np
import pytest
import soundfile

from local.base.errors import UserError
from local.separation import pipes
from local.separation.recordings import Recording


@pytest.fixture
def pipe(tmp_path):
    """A pipe, and a function that writes into it from another thread, as a program would."""
    path = tmp_path / "x.wav"
    os.mkfifo(path)
    writers = []

    def feed(data):
        writers.append(threading.Thread(target=lambda: path.write_bytes(data), daemon=True))
        writers[-1].start()

    yield path, feed
    for writer in writers:
        writer.join(10)


def test_a_pipe_is_read_like_a_file(pipe, tmp_path):
    path, feed = pipe
    x = np.random.default_rng(0).integers(-9000, 9000, (300_000, 2), np.int16)
    soundfile.write(tmp_path / "a.wav", x, 16000)
    feed((tmp_path / "a.wav").read_bytes())
    with Recording(path) as recording:
        assert (recording.rate, recording.channels, recording.frames) == (16000, 2, 300_000)
        for _ in range(2):  # as often as it is asked for
            blocks = np.concatenate([block.numpy() for block in recording.blocks()], 1)
            np.testing.assert_array_equal(blocks, x.T / np.float32(32768))


def test_an_empty_pipe(pipe):
    path, feed = pipe
    feed(b"")
    with pytest.raises(UserError, match="the pipe is empty"):
        Recording(path)


def test_a_pipe_that_nobody_writes_into_is_not_waited_for_without_end(pipe, monkeypatch):
    monkeypatch.setattr(pipes, "WAIT", 0.05)
    with pytest.raises(UserError, match=r"is a pipe into which nothing was written for 0.05 s"):
        Recording(pipe[0])


@pytest.mark.parametrize("when", ["made", "written"])
def test_a_full_folder_for_temporary_files(when, pipe, monkeypatch):
    """What the system would say is put in its place."""
    path, feed = pipe
    feed(b"RIFF")

    def refuse(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if when == "made":
        monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
        path.read_bytes()
    else:

        class Full(io.FileIO):
            write = refuse

        monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda: Full(os.devnull, "w"))
    with pytest.raises(OSError, match="No space left on device; set TMPDIR") as caught:
        Recording(path)
    assert caught.value.filename == tempfile.gettempdir()

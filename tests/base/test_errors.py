"""What ends a program in a line: faults of input, and what the system refuses."""

import errno
import os
import resource
import subprocess
import sys

import pytest
import torch

from local import ROOT
from local.base.errors import UserError, guard

LIMIT = 2**16  # bytes that a file may have, in children of this test


def program(body: str, *, limit: int | None = LIMIT, **streams) -> subprocess.CompletedProcess:
    """Run ``body`` as a program's main, in a process whose files cannot grow beyond ``limit``."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    text = f"from local.base.errors import guard\ndef main():\n{lines}guard(main, 'winnow test')\n"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, text=True, check=False, **streams,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )  # fmt: skip


def test_a_file_that_cannot_grow_is_a_line_and_leaves_nothing(tmp_path):
    path = tmp_path / "big"
    path.write_text("before")
    result = program(
        "from local.base.disk import replace\n"
        f"with replace({str(path)!r}) as temporary:\n"
        f"    temporary.write_bytes(bytes({2 * LIMIT}))"
    )
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"winnow test: {path}: File too large; raise the limit on the size of a file (ulimit -f),"
        " then run the same command again"
    ]
    assert os.listdir(tmp_path) == ["big"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("how", ["itself", "behind", "words"])
def test_no_room_is_told_however_it_arrives(capsys, code, how):
    """torch raises a RuntimeError while it handles the OSError; a worker process sends words."""

    def main():
        if how == "words":
            raise RuntimeError(f"Caught OSError in worker 0: {os.strerror(code)}")
        try:
            raise OSError(code, os.strerror(code), "x")
        except OSError as error:
            if how == "itself":
                raise
            raise RuntimeError("unexpected pos 704 vs 598") from error

    with pytest.raises(SystemExit) as caught:
        guard(main, "winnow test")
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert os.strerror(code) in line
    assert "the same command" in line


@pytest.mark.parametrize(
    "code", [errno.EACCES, errno.EROFS, errno.EIO, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EMFILE]
)
def test_whatever_the_system_refuses_is_a_line(capsys, code):
    def main():
        raise OSError(code, os.strerror(code), "some/file")

    with pytest.raises(SystemExit) as caught:
        guard(main, "winnow test")
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"winnow test: some/file: {os.strerror(code)}\n"


@pytest.mark.parametrize(
    "words",
    [
        "unable to allocate shared memory(shm) for file </torch_1_2_3>: Success (0)",
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's"
        " workers are out of shared memory. Please try to raise your shared memory limit.",
    ],
)
def test_a_small_shared_memory_is_told_with_what_to_do(capsys, words):
    """torch's words, where a container gives it little of it."""

    def main():
        raise RuntimeError(words)

    with pytest.raises(SystemExit) as caught:
        guard(main, "winnow test")
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--data.num_workers 0" in line


def test_faults_of_winnow_itself_keep_their_traceback():
    for fault in (KeyError("a"), RuntimeError("b"), OSError("no number: not of the system")):

        def main(fault=fault):
            raise fault

        with pytest.raises(type(fault)):
            guard(main, "winnow test")


def test_saving_a_model_where_there_is_no_room(tmp_path):
    """torch itself would raise an error without a reason, or abort."""
    path = tmp_path / "model.pth"
    result = program(
        "import torch\n"
        "from local.model import checkpoint\n"
        f"checkpoint.write({str(path)!r}, {{'a': torch.zeros({LIMIT})}})"
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert line.startswith(f"winnow test: {path}: File too large")
    assert os.listdir(tmp_path) == []


def test_a_model_is_saved_as_torch_does(tmp_path):
    from local.model import checkpoint

    tree = {"a": torch.arange(5.0), "b": [1, "x", None]}
    checkpoint.write(tmp_path / "a", tree)
    found = torch.load(tmp_path / "a", weights_only=True)
    assert found["a"].tolist() == [0, 1, 2, 3, 4]
    assert found["b"] == [1, "x", None]


def test_a_full_device_behind_standard_output():
    with open("/dev/full", "w") as full:
        result = program("print('x')", limit=None, stdout=full)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "winnow test: No space left on device; make room on the disk, then run the same command"
        " again"
    ]


def test_a_log_that_takes_nothing_does_not_change_the_exit_code(tmp_path):
    with open(tmp_path / "log", "w") as log:
        body = "from local.base.errors import UserError\nraise UserError('no')"
        assert program(body, limit=1, stdout=log, stderr=log).returncode == 2
        log.write("x")
        log.flush()
        assert program(body, limit=1, stdout=log, stderr=log).returncode == 2


def test_a_reader_that_has_gone_is_no_fault():
    reader, writer = os.pipe()
    os.close(reader)
    result = program("print('x' * 10**6)", limit=None, stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


def test_streams_that_a_shell_closed_do_not_matter(tmp_path):
    path = tmp_path / "done"
    text = (
        "from local.base.errors import guard\n"
        f"guard(lambda: print('x') or open({str(path)!r}, 'w').write('x'), 'winnow test')\n"
    )
    closed = ["bash", "-c", 'exec "$@" >&- 2>&-', "bash", sys.executable, "-c", text]
    assert subprocess.run(closed, cwd=ROOT, check=False).returncode == 0
    assert path.read_text() == "x"


def test_a_fault_of_input_is_a_line(capsys):
    def main():
        raise UserError("expected this, found that")

    with pytest.raises(SystemExit) as caught:
        guard(main, "winnow test")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "winnow test: expected this, found that\n"

"""Programs whose files cannot grow: one line, exit code 2, nothing half-written; then they go on.

A limit on the size of files stands for a full disk: the system refuses to write in the same way.
"""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import small_trainings
import triplet_trees
from small_trainings import RATE

from local import ROOT


def program(place, name, *words, limit=None, **streams) -> subprocess.CompletedProcess:
    """Run a program in ``place``; its files may have ``limit`` bytes."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        [sys.executable, "-m", f"local.{name}", *words], cwd=place, check=False, **streams,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )  # fmt: skip


def files(place) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_each_stage_goes_on_once_there_is_room(tmp_path):
    splits = {"train": 6, "valid": 3, "test": 3}
    triplet_trees.make_tree(tmp_path / "tree", splits, rate=RATE, length=2 * RATE)
    model = ["--model=convtasnet", "--name=d"]
    settings = small_trainings.options(small_trainings.NARROW)
    folder = "exp/d/convtasnet"
    stages = [
        # words, and for each limit in bytes the file that does not fit into it
        (["prepare", "--data=tree", "--name=d"], {100: "data/d"}),
        (["train", *model, *settings], {500: "conf.yml", 10_000: "checkpoints/last.ckpt"}),
        (["evaluate", *model, "--metrics=si_sdr", "--jobs=1"], {100: "scores.partial.csv"}),
        (["report", *model], {100: "scores/", 30_000: "figures/"}),
        (["compare", "--name=d"], {100: "compare/", 30_000: "compare/"}),
    ]
    for words, limits in stages:
        before = files(tmp_path)
        for limit, unwritten in limits.items():
            result = program(tmp_path, *words, limit=limit)
            line = result.stderr.decode().splitlines()[-1]
            assert result.returncode == 2, result.stderr.decode()
            assert "File too large" in line
            assert unwritten in line
            assert "Traceback" not in result.stderr.decode()
            left = files(tmp_path) - before
            assert not [name for name in left if name.endswith(".tmp") or "/." in name]
            assert not [name for name in left if name.endswith((".pth", ".html", ".wav"))]
        result = program(tmp_path, *words)
        assert result.returncode == 0, result.stderr.decode()
    assert {f"{folder}/best_model.pth", "data/d/test.csv"} <= files(tmp_path)


@pytest.mark.parametrize("form", ["torchscript", "onnx"])
def test_an_export_that_does_not_fit(tmp_path, form):
    words = ["separate", "export", "--model=lstm_complex", f"--format={form}", "--out=m"]
    result = program(tmp_path, *words, limit=100_000)
    assert result.returncode == 2
    assert result.stderr.decode() == "winnow: m: cannot be written (File too large)\n"
    assert files(tmp_path) == set()


def test_a_stream_whose_output_is_full(tmp_path):
    samples = np.random.default_rng(0).integers(-3000, 3000, 32000).astype("<i2").tobytes()
    with open(tmp_path / "in.raw", "w+b") as source, open(tmp_path / "out.raw", "wb") as sink:
        source.write(samples)
        source.seek(0)
        result = program(tmp_path, "separate", "--stream", limit=20_000, stdin=source, stdout=sink)
    assert result.returncode == 2
    *said, line = result.stderr.decode().splitlines()
    assert "File too large" in line
    assert all(text.startswith("winnow: ") for text in said)

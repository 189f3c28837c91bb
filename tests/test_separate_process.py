"""The program winnow as a process: how it starts, what a kill leaves, how much memory it takes."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from local import separate


def test_help_loads_nothing_heavy_and_fits_one_screen():
    code = (
        "import sys\nfrom local import separate\nsys.argv = ['winnow', '--help']\n"
        "try:\n    separate.main()\nfinally:\n"
        "    print('loaded', [m for m in ('numpy', 'torch', 'yaml') if m in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0
    assert "--attenuation-limit" in process.stdout
    assert process.stdout.endswith("loaded []\n")
    assert len(process.stdout.splitlines()) <= 30


PROGRAM = [sys.executable, "-m", "local.separate", "--model=mixture"]


def hiss(path, minutes):
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(np.random.default_rng(0).uniform(-0.1, 0.1, 60 * 16000))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_whole_files_and_continues(number, tmp_path, monkeypatch, capsys):
    hiss(tmp_path / "1.wav", 1)
    hiss(tmp_path / "2.wav", 30)
    words = [str(tmp_path), "--skip-existing"]
    process = subprocess.Popen([*PROGRAM, *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "1_noise.wav").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    process.wait()
    assert process.returncode in (-number, 128 + number)
    left = sorted(os.listdir(tmp_path))
    if number == signal.SIGKILL:  # what no program can clean up after is hidden
        left = [name for name in left if not name.startswith(".")]
    assert left == ["1.wav", "1_noise.wav", "1_voice.wav", "2.wav"]
    assert soundfile.info(tmp_path / "1_noise.wav").frames == 60 * 16000
    hiss(tmp_path / "2.wav", 1)
    monkeypatch.setattr(sys, "argv", ["winnow", "--model=mixture", *words])
    with pytest.raises(SystemExit, match="0"):
        separate.main()
    assert "1 of 2 recordings were separated before" in capsys.readouterr().err
    assert (tmp_path / "2_voice.wav").exists()


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path):
    code = (
        "import resource, sys\nfrom local import separate\ntry:\n    separate.main()\nfinally:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"  # KiB on Linux
    )
    peaks = []
    for minutes in (1, 60):
        hiss(tmp_path / f"{minutes}.wav", minutes)
        command = [sys.executable, "-c", code, "--model=mixture", str(tmp_path / f"{minutes}.wav")]
        process = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.returncode == 0
        peaks.append(1024 * int(process.stdout))
    assert peaks[1] - peaks[0] < 0.3e9
    assert soundfile.info(tmp_path / "60_voice.wav").frames == 3600 * 16000

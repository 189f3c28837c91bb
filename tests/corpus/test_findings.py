"""What stage 0 prints: one line each, whatever the names of files hold."""

import os
from pathlib import Path

from local.corpus import findings
from local.corpus.manifest import Row
from local.corpus.sums import Fit, Look


def test_names_of_any_bytes_are_shown():
    odd = os.fsdecode(b"caf\xe9\nx.wav")
    row = Row("1_0", 0.0, odd, "v.wav", "n.wav", 8000, 8000, 1.0, 1.0, 0.0, "1")
    clipped = row, Fit(1.0, 1.0, 0.0, -30.0)
    looks = {"train": Look(1, [clipped], [], [odd])}
    splits = {"train": [clipped], "valid": [], "test": []}
    lines = list(findings.summary(looks, splits, Path("rejected.csv"), True))
    assert r"the worst: caf\xe9\nx.wav, -30.0 dB" in lines[3]
    assert lines[4].endswith(r"the first: caf\xe9\nx.wav")

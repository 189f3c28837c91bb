"""Checkouts with the recipes ``ant`` and ``bee``, their experiments, and local.results."""

import hashlib
import sys

import numpy as np
import pandas
import yaml

from local import results
from local.base import config
from local.reporting import published, statistics
from local.scoring import score_table

COMMAND = ["python", "-m", "local.train", "--model", "bee", "--tag=x", "--model.fb-name", "stft"]
README = "# Title\n\n<!-- results:{} -->\nold\n<!-- /results -->\n\nThe end.\n"
TABLES = {
    "quality": {"title": "Quality", "note": "Minutes.", "under_trained": True},
    "speed_of_learning": {"title": "Speed of learning", "note": "Five."},
}


def write_yaml(path, content):
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def make_tree(folder, monkeypatch):
    """A checkout with the recipes ``ant`` and ``bee``, the current directory."""
    for recipe in ("ant", "bee"):
        place = folder / "recipes" / recipe
        place.mkdir(parents=True)
        (place / "conf.yml").write_text(f"# {recipe}: an insect\n", encoding="utf-8")
        (place / "README.md").write_text(README.format(recipe), encoding="utf-8")
    write_yaml(folder / "recipes" / "tables.yml", TABLES)
    (folder / "recipes" / "RESULTS.md").write_text(README.format("quality"), encoding="utf-8")
    (folder / "README.md").write_text(README.format("recipes"), encoding="utf-8")
    monkeypatch.setattr(published, "ROOT", folder)
    monkeypatch.setattr(config, "ROOT", folder)
    monkeypatch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
    monkeypatch.chdir(folder)
    return folder


def make_experiment(root, recipe="ant", tag=None, gain=6.0, test_hash="0123456789ab", **facts):
    """An experiment as stages 1 to 3 leave it: every estimate is ``gain`` dB above its mixture."""
    name = f"{recipe}-small" + (f"_{tag}" if tag else "")
    folder = root / "exp" / "garden" / name
    scores = folder / "scores" / test_hash
    scores.mkdir(parents=True, exist_ok=True)
    rows = []
    for k, snr in enumerate([-5.0, 0.0, 5.0, 10.0] * 3):
        for source, sign in (("voice", 1), ("noise", -1)):
            mixture = {"si_sdr": sign * snr, "sdr_v4": sign * snr, "stoi": 0.8}
            row = {"id": str(k), "snr_db": snr, "group": str(k // 4), "source": source}
            for metric, value in mixture.items():
                step = gain if metric != "stoi" else 0.0625
                row |= {metric: value + step, f"{metric}_mix": value, f"{metric}_imp": step}
            if source == "noise":
                row |= dict.fromkeys(("stoi", "stoi_mix", "stoi_imp"), np.nan)
            rows.append(row | {"failed": ""})
    rows[0]["sdr_v4"] = np.nan
    rows[0]["failed"] = "sdr_v4: silence"
    table = statistics.by_snr(pandas.DataFrame(rows))
    table.to_csv(scores / "by_snr.csv", index=False, float_format="%.6g")
    training = {
        "recipe": recipe, "preset": "small", "tag": tag, "data": "garden", "seed": 3,
        "command": COMMAND, "commit": "abcdef012345", "parameters": 1234567,
        "macs_per_second": 2_500_000_000, "audio_seconds_seen": 54321.0,
        "training_seconds": 2400.25, "device": "cpu", "threads": 2,
    } | facts  # fmt: skip
    (folder / "best_model.pth").write_bytes(b"model")
    scoring = dict.fromkeys(score_table.SCORED) | {
        "engine": "fast", "needs_sources": recipe == "bee", "test_hash": test_hash,
        "metrics": ["si_sdr", "sdr_v4", "stoi"], "recipe": recipe,
        "model_sha256": hashlib.sha256(b"model").hexdigest(),
        "provenance": {"commit": "fedcba543210"},
    }  # fmt: skip
    (folder / "provenance.yml").write_text(yaml.safe_dump(training), encoding="utf-8")
    (scores / "scores.yml").write_text(yaml.safe_dump(scoring), encoding="utf-8")
    return folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["results", *map(str, arguments)])
    results.main()

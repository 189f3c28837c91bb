"""Experiments with scores that nobody measured, to be compared: stubs of models, and the page.

The current directory is where ``data/`` and ``exp/`` lie.
"""

import hashlib
import html.parser
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pandas
import pytest
import scored_experiments
from matplotlib.figure import Figure

from local import SOURCES, compare
from local.base import disk, experiment
from local.base.errors import UserError
from local.corpus import manifest
from local.reporting import figures, statistics
from local.scoring import metrics
from local.scoring.score_table import IMPROVEMENT, MIXTURE

ROWS = 30  # in 15 groups


class Gain(float):
    """A separator that multiplies the sources."""

    def to(self, device):
        return self


def make_garden(folder):
    """A test manifest below a folder, ``data/garden/test.csv``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        scored_experiments.make_manifest("garden", ROWS, 800)
    return folder


def enter(garden, folder, monkeypatch):
    """Make ``folder`` the current one, with the garden's manifest and without experiments.

    Models are stubs, and only tests of the page have examples and the figure: drawing is slow.
    """
    (folder / "data").symlink_to(garden / "data")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
    monkeypatch.setattr(compare, "EXAMPLES", 0)
    monkeypatch.setattr(figures, "DOTS", 20)
    monkeypatch.setattr(figures, "quality_against_cost", lambda *_: Figure())

    from local.model import separators, windows

    def load(path):
        text = Path(path).read_bytes().decode()
        if text.startswith("broken"):
            raise UserError("its recipe is gone")
        return Gain(text.split()[0])

    monkeypatch.setattr(separators, "load", load)
    monkeypatch.setattr(windows, "estimate", lambda gain, mix, rate, sources: gain * sources)
    return folder


def make_scored(name, gain=5.0, seed=0, noise=0.3, model="0.5", where="garden", **changes):
    """An experiment whose estimates are ``gain`` dB better than the mixture, give or take.

    Args:
        changes: of scores.yml; and ``conf``, ``facts``, ``hash``, ``scores`` (a function of the
            table).
    """
    test = manifest.read(Path("data/garden/test.csv"))
    folder = experiment.EXPERIMENTS / where / name
    conf = {"seed": seed, "optim": {"lr": 0.001},
            "trainer": {"max_epochs": 5, "max_time": None}} | changes.pop("conf", {})  # fmt: skip
    facts = {
        "recipe": name.partition("_")[0], "preset": None, "seed": seed, "train_hash": "t",
        "valid_hash": "v", "command": ["python", "-m", "local.train"], "commit": "abc",
    }  # fmt: skip
    folder.mkdir(parents=True)
    weights = f"{model} {name}".encode()
    (folder / "best_model.pth").write_bytes(weights)
    disk.write_yaml(folder / "conf.yml", conf)
    disk.write_yaml(folder / "provenance.yml", facts | changes.pop("facts", {}))
    place = folder / "scores" / changes.pop("hash", test.hash)
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    rows = []
    for row in test.rows.to_dict("records"):
        for source, sign in zip(SOURCES, (1, -1), strict=True):
            values = {"si_sdr": sign * row["snr_db"], "stoi": 0.8 if source == "voice" else np.nan}
            of = {"id": row["id"], "snr_db": row["snr_db"], "group": row["group"]}
            of["source"] = source
            for metric, value in values.items():
                step = (gain + noise * rng.standard_normal()) * (1 if metric == "si_sdr" else 0.01)
                of |= {metric: value + step, metric + MIXTURE: value, metric + IMPROVEMENT: step}
            over = gain / 10 + noise * rng.standard_normal() if source == "noise" else np.nan
            rows.append(of | {"si_sdr_vs_residual": over, "failed": ""})
    table = changes.pop("scores", lambda table: table)(pandas.DataFrame(rows))
    about = {
        "version": metrics.VERSION, "test_hash": test.hash, "engine": "fast",
        "model_sha256": hashlib.sha256(weights).hexdigest(), "metrics": ["si_sdr", "stoi"],
        "recipe": name, "parameters": 1_230_000, "macs_per_second": 2_500_000_000,
        "real_time_factor": 0.05, "audio_seconds_seen": 7200.0, "seed": seed,
        "provenance": {"commit": "def"},
    } | changes  # fmt: skip
    scored_experiments.write_scores(place / "scores.csv", table, about)
    return place


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    compare.main()
    (place,) = Path("exp").glob("*/compare/*")
    return place


class _Links(html.parser.HTMLParser):
    """What a page refers to, its ids, and the numbers that it carries."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.numbers, self.sounds = [], [], [], {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.numbers += [float(attributes["value"])] if tag == "data" else []
        if tag == "audio":
            self.sounds[attributes["aria-label"]] = attributes["src"]


def check_page(place):
    """Every link of the page leads somewhere, and none leaves its folder."""
    page = _Links(place / "index.html")
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        parts = urlparse(link)
        if parts.scheme == "data":
            continue
        assert not parts.scheme
        assert not parts.netloc
        if parts.path:
            assert (place / unquote(parts.path)).is_file()
            assert (place / unquote(parts.path)).resolve().is_relative_to(place.resolve())
        else:
            assert parts.fragment in page.ids
    text = (place / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(|https?://", text)
    return page

"""Reports of scores that nobody measured, and what a page holds.

home, test, place = make(tmp_path, rows=3)  # an experiment with scores
run(home, test, place)  # stage 3, with leaking estimates: place / "index.html" and the rest
"""

import csv
import hashlib
import html.parser
from pathlib import Path

import numpy as np
import pandas
import pytest
import scored_experiments

import local
from local import report
from local.base import config, disk, experiment
from local.corpus import manifest
from local.reporting import statistics
from local.scoring import metrics, score_table

NAN = float("nan")
SCORED = ("si_sdr", "sdr_v4", "pesq_nb", "stoi")
ROWS = 25  # five at each of five SNRs
LENGTH = 2000


def scores_of(test, seed=0, chosen=SCORED):
    """Scores that nobody measured, in the form of scores.csv."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(len(test)):
        about = test.row(i)
        for source in local.SOURCES:
            row = {"id": about.id, "snr_db": about.snr_db, "group": about.group, "source": source}
            for name in chosen:
                of_source = source in metrics.METRICS[name].sources
                mixture = about.snr_db * (1 if source == "voice" else -1) if of_source else NAN
                gain = rng.normal(6, 2)
                row |= {name: mixture + gain, f"{name}_mix": mixture, f"{name}_imp": gain}
                row[f"{name}_imp"] = row[name] - mixture
            residual = NAN if source == "voice" else 0.5
            row |= {"si_sdr_best_order": 1.0, "swapped": 0, "si_sdr_vs_residual": residual}
            row["failed"] = ""
            rows.append(row)
    return pandas.DataFrame(rows)


def make(folder, rows=ROWS, tag="", seed=0, change=None, **conf):
    """An experiment with scores below ``folder``: folder, manifest, place of the scores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        path = Path("data/garden/test.csv")
        if not path.is_file():
            scored_experiments.make_manifest("garden", rows, LENGTH)
        test = manifest.read(path.resolve())
    home = folder / "exp" / "garden" / f"convtasnet{tag}"
    place = home / "scores" / test.hash
    home.mkdir(parents=True)
    (home / "best_model.pth").write_bytes(b"a model")
    settings = config.read("convtasnet", None, {"seed": str(seed)} | conf)
    settings["model"].pop("fb_name")  # the model below has no filterbank that could be drawn
    origin = experiment.provenance()
    disk.write_yaml(home / "conf.yml", settings)
    disk.write_yaml(home / "provenance.yml", origin | {
        "recipe": "convtasnet", "preset": None, "seed": seed, "train_hash": "0123",
        "valid_hash": "4567", "commit": "c0ffee",
        "audio_seconds_seen": 7200.0, "training_seconds": 90.0,
    })  # fmt: skip
    about = {
        "test_hash": test.hash, "engine": "fast", "recipe": "convtasnet", "parameters": 5054817,
        "model_sha256": hashlib.sha256(b"a model").hexdigest(), "macs_per_second": 2500000000,
        "real_time_factor": 0.25, "metrics": list(SCORED), "provenance": origin,
    }  # fmt: skip
    scores = scores_of(test, seed)
    if change:
        scores = change(scores)
    scored_experiments.write_scores(place / "scores.csv", scores, about)
    return home, test, place


def separate(mix, rate, sources):
    """Estimates: a leak of each source into the other."""
    assert mix.shape == sources.shape[1:]
    return (sources + 0.1 * sources[::-1]).astype(np.float32)


def run(home, test, place, number=1, separate=separate):
    scores = score_table.read_scores(place / "scores.csv")

    def estimate(i):
        return separate(test.mix(i), test.row(i).sample_rate, test.sources(i))

    return report.write_report(experiment.Experiment(home), test, scores, estimate, number)


def two_seeds(folder):
    """A report of two seeds, with NaN among its scores, two examples per SNR: as ``make`` gives."""

    def change(scores):
        worst = scores["source"].eq("voice") & scores["id"].eq("0002_0")
        scores.loc[worst, ["pesq_nb", "pesq_nb_imp"]] = NAN
        scores.loc[worst, "failed"] = "pesq_nb: no <b>utterances</b> & \"more'"
        return scores

    make(folder, tag="_second", seed=1)
    made = make(folder, change=change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
        run(*made, number=2)
    return made


def by_snr(place):
    """The rows of by_snr.csv as text, by their level, source and metric."""
    with open(place / "by_snr.csv", newline="") as file:
        return {(r["snr_db"], r["source"], r["metric"]): r for r in csv.DictReader(file)}


class Structure(html.parser.HTMLParser):
    """What a page holds: tags with attributes, text by tag, and the values of its <data>."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.texts, self.tables = [], [], {}, {}
        self.text = path.read_text(encoding="utf-8")
        self._table = None
        self.feed(self.text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag == "data":
            self._table and self._table[-1].append(attributes["value"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)
        if self.open[-2:] == ["caption", "span"]:
            self._table = self.tables.setdefault(data, [])
        if self.open[-1:] == ["th"] and self._table:
            self._table[-1].append(data)

    def all(self, tag, attribute):
        return [about[attribute] for name, about in self.tags if name == tag and attribute in about]

"""Stage 4: who does not take part, why, and that the others go on."""

import errno
from pathlib import Path

import compared_systems
import pandas
import pytest
import yaml
from compared_systems import check_page, make_scored, run

from local.base import experiment
from local.base.errors import UserError
from local.corpus import manifest
from local.scoring import metrics, seed_runs


@pytest.fixture(scope="module")
def garden(tmp_path_factory):
    return compared_systems.make_garden(tmp_path_factory.mktemp("compare"))


@pytest.fixture
def here(garden, tmp_path, monkeypatch):
    return compared_systems.enter(garden, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("conf.yml", "[" * 100_000),
        ("conf.yml", "seed: 2020-13-45"),
        ("conf.yml", "seed: true story"),
        ("provenance.yml", "a: &a [1]\nb: *a"),
        ("provenance.yml", "recipe: [1]"),
        ("scores.yml", ""),
        ("scores.yml", "version: x"),
        ("scores.yml", None),
    ],
)
def test_one_that_is_damaged_does_not_stop_the_others(here, monkeypatch, capsys, name, content):
    make_scored("ant")
    make_scored("bee")
    place = make_scored("damaged")
    (path,) = (path for path in (place / name, place.parents[1] / name) if path.is_file())
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    about = yaml.safe_load((run(monkeypatch) / "compare.yml").read_text())
    assert set(about["experiments"]) == {"ant", "bee"}
    assert set(about["left_out"]) == {"damaged"}
    assert name in about["left_out"]["damaged"]
    said = [line for line in capsys.readouterr().out.splitlines() if "left out: damaged" in line]
    assert len(said) == 1
    # stage 3 of another one goes on too
    test_hash = manifest.read("data/garden/test.csv").hash
    found = seed_runs.siblings(experiment.Experiment("exp/garden/ant"), test_hash)
    assert [of.folder for of in found.values()] == [Path("exp/garden/ant")]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (name != "scores.yml")
    assert all(name in line for line in told)


def test_one_that_may_not_be_read_does_not_stop_the_others(here, monkeypatch, capsys):
    """As a folder of another user, which this one, who may read everything, cannot make."""
    make_scored("ant")
    make_scored("theirs")
    exists = Path.exists

    def refuse(path):
        if "theirs" in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    about = yaml.safe_load((run(monkeypatch) / "compare.yml").read_text())
    assert set(about["experiments"]) == {"ant"}
    assert about["left_out"]["theirs"].endswith("conf.yml: Permission denied")
    test_hash = manifest.read("data/garden/test.csv").hash
    capsys.readouterr()
    assert len(seed_runs.siblings(experiment.Experiment("exp/garden/ant"), test_hash)) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_a_seed_whose_scores_are_damaged_does_not_stop_the_report_of_another(here, capsys):
    places = [make_scored(name, seed=seed) for seed, name in enumerate(("ant", "ant_b", "ant_c"))]
    (places[1] / "scores.csv").write_text("id,snr_db\n")
    folder, test_hash = places[0].parents[1], places[0].name
    assert list(seed_runs.scores_of_seeds(experiment.Experiment(folder), test_hash)) == [0, 2]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"seed 1 is left out: {places[1] / 'scores.csv'}")
    (places[0] / "scores.csv").write_text("id,snr_db\n")
    with pytest.raises(UserError, match=r"scores\.csv"):
        seed_runs.scores_of_seeds(experiment.Experiment(folder), test_hash)


def test_a_seed_that_was_trained_since_does_not_count_as_scored(here, capsys):
    places = [make_scored(name, seed=seed) for seed, name in enumerate(("ant", "ant_b", "ant_c"))]
    (places[1].parents[1] / "best_model.pth").write_bytes(b"another one")
    (places[2].parents[1] / "best_model.pth").unlink()
    folder, test_hash = places[0].parents[1], places[0].name
    assert list(seed_runs.scores_of_seeds(experiment.Experiment(folder), test_hash)) == [0]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("seed 1 is left out: ")
    assert "best_model.pth has changed since" in line


def test_each_reason_to_be_left_out(here, monkeypatch, capsys):
    make_scored("ant")
    make_scored("bee")
    make_scored("other_set", hash="0123456789ab")
    make_scored("other_engine", engine="museval")
    make_scored("old_metrics", version=metrics.VERSION - 1)
    make_scored("few_metrics", metrics=["si_sdr"])
    make_scored("anew", model_sha256="0")
    place = make_scored("unfinished")
    (place / "scores.csv").rename(place / "scores.partial.csv")
    (make_scored("unscored") / "scores.csv").unlink()
    (make_scored("untrained").parents[1] / "best_model.pth").unlink()
    (make_scored("damaged") / "scores.csv").write_text("id,snr_db\n")
    Path("exp/garden/mixture").mkdir()
    place = run(monkeypatch)
    left_out = yaml.safe_load((place / "compare.yml").read_text())["left_out"]
    expected = {
        "other_set": "another test set (0123456789ab)",
        "other_engine": "engine museval, most by fast",
        "old_metrics": "another version",
        "few_metrics": "without stoi",
        "anew": "has changed since",
        "unfinished": "scoring is unfinished",
        "unscored": "not scored",
        "untrained": "training is unfinished",
        "damaged": "expected a column",
    }
    assert set(left_out) == set(expected)
    texts = [capsys.readouterr().out, (place / "summary.md").read_text(),
             (place / "index.html").read_text()]  # fmt: skip
    for name, why in expected.items():
        assert why in left_out[name]
        assert all(name in text and why in text for text in texts)
    assert set(pandas.read_csv(place / "systems.csv")["system"]) == {"ant", "bee"}
    check_page(place)

"""A study: what is asked for, what is run and not run again, its table and its figure."""

import sys
from pathlib import Path

import pandas
import pytest
import scored_experiments
import toy_recipes
import yaml

from local import SOURCES, evaluate, study
from local.base import config, experiment, stage_process
from local.base.errors import UserError, guard
from local.corpus import manifest
from local.model import separators
from local.reporting import statistics
from local.scoring import metrics, score_table

VARY = ["--vary", "model.gain,data.segment", "0.5,1.0", "0.8,2.0"]


@pytest.fixture(scope="module")
def garden(tmp_path_factory):
    """A folder with a recipe ``toy``, and a test manifest, ``data/garden/test.csv``."""
    folder = tmp_path_factory.mktemp("study")
    toy_recipes.make_recipe(folder, "toy", toy_recipes.PLAIN, {"data.sample_rate": 8000})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        scored_experiments.make_manifest("garden", 4, 800)
        test = experiment.data_dir("garden") / "test.csv"
        test.with_name("train.csv").write_bytes(test.read_bytes())
    return folder


@pytest.fixture
def ran(garden, tmp_path, monkeypatch):
    """Experiments carried out: not by programs, which take long to start, and untrained."""
    (tmp_path / "data").symlink_to(garden / "data")
    toy_recipes.use_root(monkeypatch, garden)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
    found = []

    def carry_out(of):
        found.append(of)
        if of.settings["model.gain"] == "0.8" and "broken" in of.folder.name:
            return "it broke"
        gain = float(of.settings["model.gain"])
        scored_experiments.make_experiment("garden", "toy", of.folder.name[4:], gain=gain)
        test = manifest.read(experiment.data_dir("garden") / "test.csv")
        chosen = metrics.Chosen(("si_sdr",))
        evaluate.evaluate(of.folder, test, chosen, run=lambda task, items: map(task, items))
        return None

    monkeypatch.setattr(study, "carry_out", carry_out)
    return found


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["study", "--model", "toy", "--name", "garden", *words])
    study.main()


def test_a_study_from_its_command_to_its_figure(ran, monkeypatch, capsys):
    run(monkeypatch, *VARY, "--optim.lr", "0.1")
    assert [of.folder.name for of in ran] == ["toy_gain0.5_segment1.0", "toy_gain0.8_segment2.0"]
    assert ran[0].names == ["--model=toy", "--name=garden", "--tag=gain0.5_segment1.0"]
    assert ran[0].settings == {"optim.lr": "0.1", "model.gain": "0.5", "data.segment": "1.0"}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("[2/2] toy_gain0.8_segment2.0: SI-SDR voice ")
    place = experiment.EXPERIMENTS / "garden" / "study" / "toy_gain-segment"
    assert "<svg" in (place / "study.svg").read_text()
    about = yaml.safe_load((place / "study.yml").read_text())
    assert about["settings"]["0.5,1.0"] == ran[0].settings
    assert about["failed"] == {}
    table = pandas.read_csv(place / "study.csv")
    assert list(table["source"]) == [*SOURCES] * 2
    assert list(table["setting"]) == ["0.5,1.0"] * 2 + ["0.8,2.0"] * 2
    # a gain changes no SI-SDR: the estimates are as good as the mixture
    assert table["improvement"].abs().max() < 1e-6
    scores = score_table.read_scores(next(ran[0].folder.glob("scores/*/scores.csv")))
    voice = scores[scores["source"] == "voice"]["si_sdr"]
    assert table["mean"][0] == pytest.approx(voice.mean())
    assert table["ci_low"][0] < table["mean"][0] < table["ci_high"][0]
    assert (table["parameters"] == 2).all()


def test_a_failure_is_told_at_the_end_and_the_others_are_done(ran, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        guard(lambda: run(monkeypatch, "--tag", "broken", *VARY))
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[1] == "[2/2] toy_broken_gain0.8_segment2.0: it broke"
    assert "failed: 0.8,2.0" in said.err
    place = experiment.EXPERIMENTS / "garden" / "study" / "toy_broken_gain-segment"
    assert list(pandas.read_csv(place / "study.csv")["setting"]) == ["0.5,1.0"] * 2
    assert yaml.safe_load((place / "study.yml").read_text())["failed"] == {"0.8,2.0": "it broke"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--vary", "model.gain"], "--vary model.gain expects settings"),
        (["--vary", "model.gain", "1,2"], "--vary expects 1 values for model.gain, found '1,2'"),
        (["--vary", "model.gain,seed", "1,"], "--vary expects 2 values for model.gain,seed"),
        (["--vary", "model.gain", "1", "1"], "--vary: 1 appears twice"),
        (["--vary", "model.gian", "1"], "unknown key --model.gian; did you mean 'model.gain'?"),
        (["--vary", "model.gain", "x"], "command line: model.gain expects a number, found 'x'"),
        (["--vary", "seed", "1", "--seed", "2"], "--seed is varied"),
        (["--vary", "log.tensorboard", "yes!"], "command line: log.tensorboard expects true"),
    ],
)
def test_what_cannot_be_varied_is_said_before_anything_is_run(words, line, ran, monkeypatch):
    with pytest.raises(UserError) as error:
        run(monkeypatch, *words)
    assert str(error.value).startswith(line)
    assert not ran


def test_an_experiment_is_trained_and_then_scored(monkeypatch):
    of = study.Trial(Path("exp/d/toy_a"), ["--model=toy"], {"model.gain": "0.1"})
    asked = []

    def run_stage(*words):
        asked.append(words)
        return "the reason" if len(asked) == 3 else None

    monkeypatch.setattr(stage_process, "run_stage", run_stage)
    assert study.carry_out(of) is None
    log = of.folder / "queue.log"
    assert asked == [("train", ["--model=toy", "--model.gain=0.1"], log),
                     ("evaluate", ["--model=toy", "--metrics=si_sdr"], log)]  # fmt: skip
    assert study.carry_out(of) == "the reason"
    assert len(asked) == 3


def test_the_study_of_the_unets_readme_can_be_carried_out():
    text = (toy_recipes.ROOT / "recipes" / "unet" / "README.md").read_text(encoding="utf-8")
    keys, settings = study.read_settings(text.partition("--vary ")[2].partition("\n")[0].split())
    assert len(settings) == 4
    for values in settings:
        conf = config.read("unet", "small", dict(zip(keys, values, strict=True)))
        arguments = separators.construct(conf, "unet").network.get_model_args()
        assert [str(arguments["window"]), str(arguments["hop"])] == values

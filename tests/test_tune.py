"""The search as a program: scores on the valid split, what is run and not run again, its files."""

import contextlib
import io
import os
import sys
import types
from pathlib import Path

import pandas
import pytest
import torch
import toy_recipes
import triplet_trees
import yaml

from local import ROOT, prepare, train, tune
from local.base import config, experiment, stage_process
from local.base.errors import UserError
from local.corpus import manifest
from local.model import separators, windows
from local.training.losses import si_sdr
from local.tuning import trial as trials

RATE = 8000
SETTINGS = [
    "--data.sample_rate=8000", "--data.segment=0.25", "--data.batch_size=2",
    "--data.num_workers=0", "--trainer.accelerator=cpu", "--trainer.max_epochs=1",
]  # fmt: skip
BROKEN = toy_recipes.PLAIN.replace("return self.gains", "return float('nan') * self.gains")
PICKY = toy_recipes.FIT.replace(
    "        super()",
    "        if gain > 1:\n            raise ValueError('too loud')\n        super()",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A working folder with the embedded data prepared, less the test split's manifest."""
    place = tmp_path_factory.mktemp("tune")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "argv", ["prepare", "--data", str(ROOT / "egs_data"), "--name", "egs"])
        prepare.main()
    (place / "data" / "egs" / "test.csv").unlink()  # it is never read
    return place


@pytest.fixture
def run(data, tmp_path, monkeypatch, capsys):
    """Run the program in this process; returns what it printed, in lines."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(data / "data")

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["tune", "--name", "egs", *argv])
        capsys.readouterr()
        tune.main()
        return capsys.readouterr().out.splitlines()

    return run


def rows(lines):
    """The table's rows by their names: 12 numbers each."""
    start = next(i for i, line in enumerate(lines) if line.startswith("Valid split"))
    found = {}
    for line in lines[start + 2 :]:
        if not line:
            break
        name, *numbers = line.rsplit(maxsplit=12)
        found[name.strip()] = [float(number) for number in numbers]
    return found


def test_every_combination_the_best_first_and_nothing_twice(run, tmp_path):
    argv = ["--model", "wiener", "--model.noise_factor", "0.5,1", "--model.gain=wiener|logmmse"]
    lines = run(*argv)
    assert [line.partition("]")[0] for line in lines[:4]] == [f"[{i}/4" for i in (1, 2, 3, 4)]
    assert lines[4] == "Valid split, 10 mixtures; over all, then by SNR (dB)"
    assert lines[5].split()[3:] == [
        "voice", "noise", "voice", "-5", "voice", "0", "voice", "5", "voice", "10", "voice", "15",
        "noise", "-5", "noise", "0", "noise", "5", "noise", "10", "noise", "15",
    ]  # fmt: skip
    mixture, *found = rows(lines).items()
    assert mixture[0] == "mixture"
    assert mixture[1][2:7] == pytest.approx([-5, 0, 5, 10, 15], abs=0.2)
    assert {name for name, _ in found} == {
        f"model.noise_factor={factor} model.gain={gain}"
        for factor in ("0.5", "1") for gain in ("wiener", "logmmse")
    }  # fmt: skip
    voices = [numbers[0] for _, numbers in found]
    assert voices == sorted(voices, reverse=True)
    assert len(set(voices)) == 4
    for _, numbers in found:  # two mixtures at each SNR
        assert sum(numbers[2:7]) / 5 == pytest.approx(numbers[0], abs=0.01)
        assert sum(numbers[7:12]) / 5 == pytest.approx(numbers[1], abs=0.01)

    place = tmp_path / "exp" / "egs" / "tune" / "wiener_noise_factor-gain"
    table = pandas.read_csv(place / "trials.csv")
    assert list(table["state"]) == ["complete"] * 4
    assert list(table["value"].round(2)) == voices
    best = found[0][0]
    assert f"model.noise_factor={table['model.noise_factor'][0]:g}" in best.split()
    for name in ("settings", "history", "slices", "importance"):
        assert "<svg" in (place / f"{name}.svg").read_text()
    assert not (place / "validation.svg").exists()
    assert str(place / "data") not in (place / "tune.yml").read_text()
    # what is to be pasted is what was scored
    pasted = yaml.safe_load((place / "best.yml").read_text())["presets"]["tuned"]
    assert (place / "best.yml").read_text() in "\n".join(lines) + "\n"
    assert {f"model.{key}={value:g}" if key != "gain" else f"model.gain={value}"
            for key, value in pasted["model"].items()} == set(best.split())  # fmt: skip

    again = run(*argv)
    assert again == lines[4:]


def test_the_scores_are_those_of_the_recipe(run):
    argv = ["--model", "spectral_subtraction", "--model.floor", "0.1,0.2", "--files", "5"]
    numbers = rows(run(*argv))["model.floor=0.1"]
    valid = manifest.read("data/egs/valid.csv")
    separator = separators.build("spectral_subtraction", floor=0.1)
    scores = {}
    for i in trials.spread(valid.rows["snr_db"], 5):
        estimates = windows.estimate(separator, valid.mix(i), valid.row(i).sample_rate)
        found = si_sdr(torch.from_numpy(estimates), torch.from_numpy(valid.sources(i)))
        scores[valid.row(i).snr_db] = found.tolist()
    assert sorted(scores) == [-5, 0, 5, 10, 15]
    expected = [[score[k] for _, score in sorted(scores.items())] for k in (0, 1)]
    assert numbers[2:7] == pytest.approx(expected[0], abs=0.01)
    assert numbers[7:12] == pytest.approx(expected[1], abs=0.01)


def test_the_scores_of_batches_on_a_device_are_the_same(run):
    """The CPU stands in for a GPU."""
    valid = manifest.read("data/egs/valid.csv")
    split = trials.Split(None, valid, trials.spread(valid.rows["snr_db"], 5))
    separator = separators.build("spectral_subtraction")
    batches = trials.scores(separator, split._replace(device=torch.device("cpu")))
    pandas.testing.assert_frame_equal(batches, trials.scores(separator, split), rtol=0, atol=1e-4)


def test_what_is_learnt_is_learnt_anew_from_train(run, tmp_path, monkeypatch):
    fit = toy_recipes.FIT.replace(
        "return torch.stack([mix * self.arguments",
        "assert self.batches == 15\n        return torch.stack([mix * self.arguments",
    ).replace("def forward", "def unfitted", 1)
    forward = """
    def forward(self, mix):
        if not self.batches:  # it is run once where it is built
            return torch.stack([mix] * 2, 1)
        return self.unfitted(mix)
"""
    toy_recipes.make_recipe(tmp_path, "toy", fit + forward)
    toy_recipes.use_root(monkeypatch, tmp_path)
    lines = run("--model", "toy", "--data.batch_size=2", "--data.num_workers=0",
                "--model.gain", "0.5,2.0", "--files", "5", "--objective", "both")  # fmt: skip
    mixture, *found = rows(lines).items()
    assert [name for name, _ in found] == ["model.gain=0.5", "model.gain=2.0"]
    for _, numbers in found:
        assert numbers == mixture[1]  # a gain changes no SI-SDR
    table = pandas.read_csv("exp/egs/tune/toy_gain/trials.csv")
    assert table["value"].tolist() == pytest.approx(
        ((table["voice"] + table["noise"]) / 2).tolist()
    )


def test_what_a_recipe_refuses_and_what_has_no_score_do_not_stop_the_others(
    run, tmp_path, monkeypatch, capsys
):
    toy_recipes.make_recipe(tmp_path, "toy", PICKY, {"mixture_consistency": "none"})
    toy_recipes.use_root(monkeypatch, tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run("--model", "toy", "--model.gain", "0.0,3.0,1.0", "--files", "5",
            "--data.batch_size=2", "--data.num_workers=0")  # fmt: skip
    assert stopped.value.code == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "[1/3] model.gain=0.0: failed: no estimate has a SI-SDR"
    assert lines[1].startswith("[2/3] model.gain=3.0: toy refuses these settings: too loud")
    assert lines[6].startswith("model.gain=1.0 ")
    assert [line.split()[::13] for line in lines[7:9]] == [
        ["model.gain=3.0", "refused"], ["model.gain=0.0", "failed"],
    ]  # fmt: skip
    assert said.err == "model.gain=0.0: failed: no estimate has a SI-SDR\n"
    table = pandas.read_csv("exp/egs/tune/toy_gain/trials.csv")
    assert list(table["state"]) == ["complete", "pruned", "fail"]


def test_what_only_some_combinations_may_be_is_refused_only_there(run):
    weights = ("--loss.snr", "0,1", "--loss.mse", "0,1")
    lines = run("--model", "wiener", *weights, "--files", "1")
    assert lines[0].startswith("[1/4] loss.snr=0 loss.mse=0: loss: every weight is 0")
    assert ["SI-SDR" in line for line in lines[1:4]] == [True] * 3
    assert [line.split()[-1] for line in lines if "loss.snr=0 loss.mse=0" in line][-1] == "refused"


def test_a_search_in_which_nothing_comes_out_ends(run, tmp_path, monkeypatch):
    toy_recipes.make_recipe(tmp_path, "toy", PICKY)
    toy_recipes.use_root(monkeypatch, tmp_path)
    with pytest.raises(UserError, match="10 trials one after the other came to nothing, the last"):
        run("--model", "toy", "--model.gain", "2..3", "--sampler", "random")


@pytest.mark.parametrize("count", [1, 4, 5, 9, 20, 100, None])
def test_each_snr_has_its_share(count):
    snr_db = pandas.Series([-5.0, 0.0, 5.0, 10.0] * 5)
    chosen = trials.spread(snr_db, count)
    assert len(chosen) == len(set(chosen)) == min(count or 20, 20)
    counts = snr_db.iloc[chosen].value_counts().reindex([-5.0, 0.0, 5.0, 10.0], fill_value=0)
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model.noise_factr", "1,2"], "did you mean 'model.noise_factor'"),
        (["--model.noise_factor", "1,x"], "model.noise_factor expects"),
        (["--model.gain", "wiener|logmse"], "did you mean 'logmmse'"),
        (["--optim.optimizer", "adam,adamm"], "unknown 'adamm'; did you mean 'adam'"),
        (["--optim.optimizer", "adamm", "--optim.lr", "1e-3..1e-2"], "unknown 'adamm'"),
        (["--files", "0"], "--files expects 1 or more"),
        (["--trials", "-1"], "--trials expects 0 or more"),
        (["--hours", "nan"], "--hours expects 0 or more, found nan"),
        (["--sampler", "tpee"], "one of tpe, random, grid, found 'tpee'; did you mean 'tpe'"),
        (["--objective", "music"], "--objective expects one of voice, noise, both"),
        (["--pruner", "meadian"], "did you mean 'median'"),
        (["--model.noise_factor", "1..2", "--sampler", "grid"], "is a range; give its values"),
        (["--test"], "unrecognized arguments: --test"),
        (["--name", "other"], "not there; stage 0 makes it"),
        (["--tag", "a/b"], "--tag 'a/b'"),
        (["--storage", "sqlite:////no/such/folder/x.db"], "--storage sqlite:////no/such/folder"),
    ],
)
def test_faults_are_one_line_before_the_first_trial(run, argv, said, tmp_path):
    with pytest.raises(UserError, match=said) as caught:
        run("--model", "wiener", *argv)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("exp/*/*/*/trials.csv"))


def test_without_optuna_a_line_says_what_installs_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "local.tuning.study", raising=False)
    monkeypatch.delattr("local.tuning.study", raising=False)
    with pytest.raises(UserError, match=r"needs the package optuna: \./run\.sh --tune installs it"):
        run("--model", "wiener")


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Stage 1 in this process, and of 2 and 3 only that they were asked for; which were, in order.

    The recipes are ``one``, ``bad`` and ``two``, the data set is ``d``.
    """
    monkeypatch.chdir(tmp_path)
    tree = triplet_trees.make_tree(tmp_path / "tree", {"train": 4, "valid": 2}, rate=RATE)
    triplet_trees.prepare(tree, "d", ("train", "valid"), RATE)
    for name, source in (("one", toy_recipes.PLAIN), ("bad", BROKEN), ("two", toy_recipes.FIT)):
        toy_recipes.make_recipe(tmp_path, name, source)
    toy_recipes.use_root(monkeypatch, tmp_path)
    asked = []

    def run_stage(stage, arguments, log, environment):
        asked.append((stage, log.parent.name))
        if stage in ("evaluate", "report"):
            assert (log.parent / "best_model.pth").is_file()
            return None
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "environ", os.environ | (environment or {}))
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # a child's words go to its log
                    train.main()
            except UserError as error:
                return str(error)
        return None

    monkeypatch.setattr(stage_process, "run_stage", run_stage)
    return asked


def call(monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", ["tune", "--name", "d", *argv, *SETTINGS])
    tune.main()


def test_several_recipes_in_turn(stages, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, "--model", "one,bad,two", "--evaluate")
    assert stop.value.code == 1
    assert stages == [("train", "one"), ("train", "bad"),
                      *((stage, name) for name in ("one", "two")
                        for stage in ("train", "evaluate", "report"))]  # fmt: skip
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].startswith("[1/3] one: SI-SDR voice ")
    assert lines[1].startswith("[2/3] bad: failed: the loss became nan in epoch 0")
    assert lines[2].startswith("[3/3] two: SI-SDR voice ")
    assert lines[-1] == "evaluate 2/2 two: scored on the test split"
    assert said.err.startswith("bad: failed: the loss became nan in epoch 0")
    table = pandas.read_csv("exp/d/tune/one+bad+two/trials.csv").set_index("model")
    assert table.loc["one", "parameters"] == 2
    assert table.loc["one", "audio_seconds_seen"] == 1
    assert table.loc["bad", "state"] == "fail"


def test_what_was_ended_early_is_not_scored(monkeypatch):
    optuna = pytest.importorskip("optuna")
    spread = optuna.distributions.FloatDistribution(1.0, 2.0)
    values = {"params": {"model.gain": 2.0}, "distributions": {"model.gain": spread}}
    states = optuna.trial.TrialState
    early, whole = (optuna.trial.create_trial(state=state, value=3.0, **values)
                    for state in (states.PRUNED, states.COMPLETE))  # fmt: skip
    asked = []
    monkeypatch.setattr(trials, "settings", lambda *given: asked.append(given) or [])
    assert (
        tune.evaluate(types.SimpleNamespace(trials=[early, whole], space={}), "t", "d", "x") == {}
    )
    assert len(asked) == 1


def test_continues_where_it_was_interrupted(stages, monkeypatch):
    argv = ["--model", "one", "--tag", "t", "--seed", "0,1", "--model.gain", "0.5,0.7"]
    run_stage = stage_process.run_stage

    def interrupted(stage, arguments, log, environment):
        if log.parent.name == "one_t_gain0.7_seed1":
            raise KeyboardInterrupt
        return run_stage(stage, arguments, log, environment)

    monkeypatch.setattr(stage_process, "run_stage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(monkeypatch, *argv)
    names = [f"one_t_gain{gain}_seed{seed}" for gain in ("0.5", "0.7") for seed in (0, 1)]
    assert stages == [("train", name) for name in names[:3]]
    models = [experiment.EXPERIMENTS / "d" / name / "best_model.pth" for name in names]
    written = [model.stat().st_mtime_ns for model in models[:3]]
    monkeypatch.setattr(stage_process, "run_stage", run_stage)
    call(monkeypatch, *argv)
    assert stages[3:] == [("train", name) for name in names[2:]]
    assert [model.stat().st_mtime_ns for model in models[:3]] == written
    facts = experiment.Experiment(models[3].parent).facts
    assert (facts["seed"], facts["tag"]) == (1, "t_gain0.7_seed1")
    table = pandas.read_csv("exp/d/tune/one_gain_t/trials.csv")
    assert list(table["state"]) == ["complete"] * 2
    with pytest.raises(UserError, match=r"was made with other objective: voice, not noise"):
        call(monkeypatch, *argv, "--objective", "noise")


def test_a_training_tells_the_search_of_its_validation(stages, monkeypatch):
    call(monkeypatch, "--model", "one", "--optim.lr", "log:1e-3..1e-1", "--trials", "2")
    table = pandas.read_csv("exp/d/tune/one_lr/trials.csv")
    assert len(table) == 2
    assert table["optim.lr"].between(1e-3, 1e-1).all()
    assert "<svg" in Path("exp/d/tune/one_lr/validation.svg").read_text()


def test_the_search_of_the_unets_readme_can_be_carried_out():
    from local.tuning import space as spaces

    text = (toy_recipes.ROOT / "recipes" / "unet" / "README.md").read_text(encoding="utf-8")
    values = text.partition("--model.window,model.hop '")[2].partition("'")[0]
    space = spaces.read("unet", "small", {"model.window,model.hop": values})
    found = [space.resolve(values)[1] for values in spaces.grid(space)]
    assert len(found) == 4
    for changes in found:
        conf = config.read("unet", "small", changes)
        arguments = separators.construct(conf, "unet").network.get_model_args()
        assert [arguments["window"], arguments["hop"]] == [*map(int, changes.values())]

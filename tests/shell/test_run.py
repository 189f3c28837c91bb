"""run.sh: options, their errors, what every stage is told. A stub takes the stages' place."""

import os
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

from local.base import config
from local.model import pretrained
from local.shell import known

DEFAULT = pretrained.default()
PLAIN = [f"--model={DEFAULT}", "--preset=first_look"]


class Result:
    """What a run of run.sh left: exit code, output, and the stages' command lines."""

    def __init__(self, process, calls):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr
        self.calls = [shlex.split(line) for line in calls]


@pytest.fixture
def stub(tmp_path):
    """A function: checkout -> function that runs its run.sh with an interpreter that notes the
    stages instead of running them."""
    python, log = tmp_path / "python", tmp_path / "calls"
    python.write_text(
        f"""#!/usr/bin/env bash
        case "$*" in "-c"* | "-m local.check"*)
          exec {shlex.quote(sys.executable)} "$@" ;; esac
        printf '%q ' "${{@:2}}" >>{shlex.quote(str(log))} && echo >>{shlex.quote(str(log))}
        [[ $2 != "${{FAILING-}}" ]] || exit 7
        """
    )
    python.chmod(0o755)

    def of(checkout):
        def run(*words, cwd=checkout, python=python, **env):
            command = [str(checkout / "run.sh"), *([f"--python={python}"] if python else [])]
            process = subprocess.run(
                [*command, *words], cwd=cwd, env=os.environ | env, capture_output=True, text=True
            )
            return Result(process, log.read_text().splitlines() if log.exists() else [])

        return run

    return of


@pytest.fixture
def run(stub):
    """Run this checkout's run.sh with the stub."""
    return stub(ROOT)


def assert_refused(result, *parts):
    """Exit code 2, one line that holds every part, nothing started."""
    lines = [line for line in result.err.splitlines() if ": note: " not in line]
    assert result.code == 2, result.err
    assert len(lines) == 1, result.err
    assert all(part in lines[0] for part in parts), lines[0]
    assert result.calls == []


def test_alone_it_trains_what_ships_on_the_embedded_data(run):
    result = run()
    assert result.code == 0, result.err
    assert result.calls == [
        ["local.prepare", f"--data={ROOT}/egs_data", "--name=egs_data"],
        ["local.train", *PLAIN, "--name=egs_data", f"--init={DEFAULT}"],
        ["local.evaluate", *PLAIN, "--name=egs_data"],
        ["local.report", *PLAIN, "--name=egs_data"],
        ["local.compare", "--name=egs_data"],
    ]
    shown = [line for line in result.err.splitlines() if line.startswith("+ ")]
    assert [shlex.split(line)[3:] for line in shown] == result.calls


def test_options_reach_their_own_stage_in_every_spelling(run):
    result = run(
        *("--channel", "1", "--max_rejected=5.5", "--restart", "--metrics", "si_sdr,snr"),
        *("--corpus", "wham:both"),
        *("--engine=museval", "--jobs=2", "--num-examples", "4", "--tag", "l1", "--preset=small"),
        *("--optim.lr", "3e-4", "--data.batch-size=2", "--data.snr-db", "[-5.0, 0.0]"),
        *("--mixture-consistency", "none", "--seed=3", "--name", "mine", "--device=cpu"),
    )
    assert result.code == 0, result.err
    recipe = ["--model=convtasnet", "--preset=small", "--tag=l1", "--name=mine"]
    prepare, train, evaluate, report, compare = result.calls
    assert prepare[2:] == ["--name=mine", "--corpus=wham:both", "--channel=1", "--max-rejected=5.5"]
    assert train[1:] == [
        *(*recipe, "--optim.lr=3e-4", "--data.batch_size=2", "--data.snr_db=[-5.0, 0.0]"),
        *("--mixture_consistency=none", "--seed=3", "--restart"),
    ]
    assert evaluate[1:] == [*recipe, "--metrics=si_sdr,snr", "--engine=museval", "--jobs=2",
                            "--device=cpu"]  # fmt: skip
    assert report[1:] == [*recipe, "--device=cpu", "--num-examples=4"]
    assert compare[1:] == ["--name=mine", "--device=cpu"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model", "convtasnet"], ["--model=convtasnet"]),
        (["--preset", "small"], ["--model=convtasnet", "--preset=small"]),
        (["--optim.lr=1e-4"], PLAIN),
    ],
)
def test_the_full_settings_unless_a_preset_is_named_or_nothing_is(run, words, expected):
    assert run(*words, "--stop-stage=1").calls[1][1:3] == [*expected, "--name=egs_data"][:2]


def test_data_are_named_by_their_folder_from_any_directory(run, tmp_path):
    (tmp_path / "my data" / "triplets").mkdir(parents=True)
    result = run("--data", "my data/triplets/", "--stop-stage", "1", cwd=tmp_path)
    assert result.calls == [
        ["local.prepare", f"--data={tmp_path}/my data/triplets", "--name=triplets"],
        ["local.train", "--model=convtasnet", "--name=triplets"],
    ]
    result = run("--data=my data", "--name=mine", "--stop-stage=0", cwd=tmp_path)
    assert result.calls[-1] == ["local.prepare", f"--data={tmp_path}/my data", "--name=mine"]


def test_voices_and_noises_reach_stage_0_from_any_directory(run, tmp_path):
    for name in ("voices", "my noises", "rooms"):
        (tmp_path / name).mkdir()
    words = ("--voices", "voices", "--noises=my noises", "--rooms", "./rooms", "--name=mine")
    result = run(*words, "--snrs", "-5,0", "--stop-stage=1", cwd=tmp_path)
    assert result.code == 0, result.err
    assert result.calls == [
        ["local.prepare", "--name=mine", f"--voices={tmp_path}/voices",
         f"--noises={tmp_path}/my noises", f"--rooms={tmp_path}/rooms", "--snrs=-5,0"],
        ["local.train", "--model=convtasnet", "--name=mine"],
    ]  # fmt: skip


def test_rooms_reach_stage_0_of_a_tree(run, tmp_path):
    result = run("--rooms", str(tmp_path), "--stop-stage=0")
    assert result.calls == [
        ["local.prepare", f"--data={ROOT}/egs_data", "--name=egs_data", f"--rooms={tmp_path}"]
    ]


def test_weights_to_start_from_are_named_from_any_directory(run, tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "blstm").mkdir()  # a recipe goes before a folder of its name
    for word, expected in (("exp", f"{tmp_path}/exp"), ("blstm", "blstm"), ("none", "none"),
                           (f"{ROOT}/recipes/blstm_complex", "recipes/blstm_complex")):  # fmt: skip
        result = run("--stop-stage=1", "--init", word, "--refit", cwd=tmp_path)
        assert result.calls[-1] == [
            "local.train", *PLAIN, "--name=egs_data", f"--init={expected}", "--refit"
        ]  # fmt: skip


def test_a_search_takes_the_place_of_the_stages_from_1_on(run, tmp_path):
    (tmp_path / "mine").mkdir()
    own = ["--sampler=random", "--trials=9", "--hours=.5", "--objective=both", "--pruner=none",
           "--files=5", "--storage=sqlite:///x y.db", "--evaluate"]  # fmt: skip
    varied = ["--optim.lr=log:1e-4..1e-2", "--data.segment,data.batch_size=1,2|2,4"]
    result = run("--tune", "--data", "mine", "--channel=1", "--model", "convtasnet|dprnn",
                 "--preset", "tiny", "--tag=t", *own, *varied, cwd=tmp_path)  # fmt: skip
    assert result.code == 0, result.err
    assert result.calls == [
        ["local.prepare", f"--data={tmp_path}/mine", "--name=mine", "--channel=1"],
        ["local.tune", "--model=convtasnet,dprnn", "--name=mine", "--preset=tiny", "--tag=t",
         *varied, *own],
    ]  # fmt: skip
    result = run("--tune", "--stage", "1", "--name=mine", "--seed=0,1")
    assert result.calls[2:] == [["local.tune", "--model=convtasnet", "--name=mine", "--seed=0,1"]]
    shown = run("--tune", "--help")
    lines = shown.out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    assert all(word.partition("=")[0] in shown.out for word in own)


def test_later_stages_find_the_data_set_unless_it_is_named(run, tmp_path):
    assert [call[1:] for call in run("--stage=2", "--stop-stage=3").calls] == [PLAIN, PLAIN]
    result = run("--stage=2", "--stop-stage=2", "--data", str(tmp_path), "--name=mine")
    assert result.calls[-1] == ["local.evaluate", "--model=convtasnet", "--name=mine"]


def test_comparison_is_on_the_data_of_the_experiment_before_it(checkout, stub):
    for experiment in ("one/convtasnet-small", "two/convtasnet", "two/dprnn"):
        folder = checkout / "exp" / experiment
        folder.mkdir(parents=True)
        (folder / "best_model.pth").touch()
    run = stub(checkout)
    assert run("--preset=small", "--stage=2").calls[-1] == ["local.compare", "--name=one"]
    assert run("--stage=4", "--model=dprnn").calls[-1] == ["local.compare", "--name=two"]
    assert run("--stage=4").calls[-1] == ["local.compare"]
    result = run("--stage=4", "--model=lstm_tasnet")
    assert result.code == 2
    assert "stage 1 makes it" in result.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--modle", "x"], ["--modle", "--model"]),
        (["-model", "convtasnet"], ["-model", "--model"]),
        (["--stopstage=1"], ["--stopstage", "--stop-stage"]),
        (["--lr", "3e-4"], ["--lr", "--optim.lr"]),
        (["--batch-size=3"], ["--batch_size", "--data.batch_size"]),
        (["--sed", "3"], ["--sed", "--seed"]),
        (["--verbose"], ["--verbose", "did you mean"]),
        (["convtasnet"], ["'convtasnet'", "--help"]),
        (["--model", "convtasnett"], ["'convtasnett'", "'convtasnet'"]),
        (["--model", "../recipes/convtasnet"], ["unknown model"]),
        (["--model"], ["--model needs a value"]),
        (["--model="], ["--model needs a value"]),
        (["--model", "--stage", "2"], ["--model needs a value"]),
        (["--optim.lr"], ["--optim.lr needs a value"]),
        (["--seed"], ["--seed needs a value"]),
        (["--stage", "9"], ["--stage 9", "4 compare"]),
        (["--stage", "x"], ["--stage x", "0 prepare, 1 train"]),
        (["--stage", "08"], ["--stage 08"]),
        (["--stop-stage", "-1"], ["--stop-stage -1"]),
        (["--stage", "3", "--stop-stage", "1"], ["--stop-stage 1", "--stage 3"]),
        (["--model", "convtasnet", "--model", "lstm"], ["twice", "'convtasnet'", "'lstm'"]),
        (["--optim.lr", "1", "--optim.lr=2"], ["--optim.lr", "twice"]),
        (["--restart=no"], ["--restart takes no value"]),
        (["--data", "no/such"], ["--data no/such", "no such folder"]),
        (["--data", "/"], ["--name"]),
        (["--voices", "/"], ["--voices needs --noises DIR"]),
        (["--noises", "/", "--name=x"], ["--noises needs --voices DIR"]),
        (["--voices=/", "--noises=/"], ["--voices and --noises need --name"]),
        (["--voices=/", "--noises=/", "--name=x", "--data=/"], ["--data and --voices"]),
        (["--voices=/", "--noises=/", "--name=x", "--corpus=wham"], ["--corpus and --voices"]),
        (["--voices=/", "--noises=no/such", "--name=x"], ["--noises no/such: there is no such"]),
        (["--voices=/", "--noises=/", "--name=x", "--stage=1"], ["--voices is for stage 0"]),
        (["--rooms=no/such"], ["--rooms no/such: there is no such folder"]),
        (["--snrs", "5"], ["--snrs goes with --voices"]),
        (["--tag", "a/b"], ["--tag", "'a/b'"]),
        (["--tag", ".hidden"], ["--tag", "'.hidden'"]),
        (["--name", "two words"], ["--name", "'two words'"]),
        (["--jobs", "0"], ["--jobs", "from 1", "'0'"]),
        (["--channel", "left"], ["--channel", "whole number", "'left'"]),
        (["--max-rejected", "100.5"], ["--max-rejected", "0 to 100", "'100.5'"]),
        (["--engine", "slow"], ["--engine", "fast or museval", "'slow'"]),
        (["--model=blstm", "--tag=complex"], ["--tag complex", "recipe blstm_complex"]),
        (["--metrics", "si_sdr,sdrr"], ["--metrics", "'sdrr'", "sdr"]),
        (["--metrics", "snr", "--stop-stage", "1"], ["--metrics", "stage 2", "0 to 1"]),
        (["--restart", "--stage", "2"], ["--restart", "stage 1"]),
        (["--optim.lr", "1", "--stage", "2"], ["--optim.lr", "stage 1"]),
        (["--trials", "3"], ["--trials", "--tune"]),
        (["--tune", "--trial", "3"], ["--trial", "--trials"]),
        (["--tune", "--trials", "many"], ["--trials", "whole number", "'many'"]),
        (["--tune", "--hours", "-1"], ["--hours", "a number of hours", "'-1'"]),
        (["--tune", "--sampler", "gird"], ["--sampler", "tpe or random or grid", "'gird'"]),
        (["--tune", "--metrics", "snr"], ["--metrics", "stage 2", "--tune"]),
        (["--tune", "--stage", "2"], ["--stage 2", "--stage 1"]),
        (["--tune", "--stage", "1", "--channel", "1"], ["--channel", "stage 0", "--stage 1"]),
        (["--tune", "--model", "blstm,convtasnett"], ["'convtasnett'", "'convtasnet'"]),
        (["--tune"], ["nothing is varied", "--optim.lr log:1e-4..1e-2"]),
        (["--tune", "--optim.lrr", "1,2"], ["optim.lrr", "optim.lr"]),
        (["--tune", "--optim.lr", "log:0..1"], ["optim.lr", "0 < LOW < HIGH"]),
        (["--tune", "--optim.optimizer", "adam,adamm"], ["optim.optimizer", "'adamm'", "'adam'"]),
        (["--tune", "--optim.lr", "1..2", "--sampler=grid"], ["--sampler grid", "--optim.lr"]),
        (["--tune", "--mixture_consistency", "none|projekt"], ["'projekt'", "'project'"]),
        (
            ["--tune", "--model=blstm", "--tag=complex", "--optim.lr=1e-3,1e-4"],
            ["--tag complex", "blstm_complex"],
        ),
        (["--slow"], ["--slow", "--test"]),
        (["--", "-k", "x"], ["--test"]),
        (["--test", "--tag", "a"], ["--tag", "--test"]),
        (["--preset", "tiy"], ["'tiy'", "'tiny'"]),
        (["--optim.lrr", "3"], ["optim.lrr", "optim.lr"]),
        (["--optim.lr", "fast"], ["optim.lr", "a number", "'fast'"]),
        (["--optim.lr", "-1"], ["optim.lr", "> 0"]),
        (["--optim", "3"], ["--optim"]),
        (["--optim.optimizer", "adamm"], ["optim.optimizer", "'adamm'", "'adam'"]),
        (["--optim.arguments", "{bets: [0, 1]}"], ["optim.arguments", "'bets'", "'betas'"]),
        (["--scheduler.name", "StpLR"], ["scheduler.name", "'StpLR'", "'StepLR'"]),
        (["--loss.snr", "0"], ["loss", "every weight is 0"]),
        (["--loss.stft_windows", "[2]"], ["loss.stft_windows", ">= 4"]),
        (["--data.augment.apply", "[sped]"], ["data.augment.apply", "'sped'", "'speed'"]),
        (["--data.gain_db", "[5, -5]"], ["data.gain_db", "the lower one first"]),
        (["--data.augment.speed", "[0, 1]"], ["data.augment.speed", "> 0"]),
        (["--trainer.max_time", "40m"], ["trainer.max_time", "DD:HH:MM:SS", "'40m'"]),
    ],
)
def test_a_fault_is_one_line_and_nothing_starts(run, words, parts):
    assert_refused(run(*words), *parts)


def test_an_interpreter_that_is_none(run, tmp_path):
    assert_refused(run(python="/no/such/python"), "/no/such/python")
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "broken").chmod(0o755)
    assert_refused(run(python="./broken", cwd=tmp_path), f"{tmp_path}/./broken", "no Python")


@pytest.mark.parametrize("made", ["root: {}", "root: triplets\nfolders: {{voices: {}}}"])
def test_data_prepared_from_another_folder_are_not_used(checkout, tmp_path, made):
    mine, other = tmp_path / "one" / "mine", tmp_path / "two" / "mine"
    mine.mkdir(parents=True)
    other.mkdir(parents=True)
    manifest = checkout / "data" / "mine"
    manifest.mkdir(parents=True)
    (manifest / "root.yml").write_text(made.format(mine))
    words = ["./run.sh", f"--python={sys.executable}", "--stage=1", "--stop-stage=1"]
    for folder, expected in ((other, f"another folder, {mine}; if"), (mine, "stage 0 makes it")):
        process = subprocess.run(
            [*words, f"--data={folder}"], cwd=checkout, capture_output=True, text=True
        )
        assert process.returncode == 2
        assert expected in process.stderr, process.stderr


def test_a_failing_stage_ends_the_run_with_its_code(run):
    result = run(FAILING="local.train")
    assert result.code == 7
    assert [call[0] for call in result.calls] == ["local.prepare", "local.train"]


@pytest.mark.parametrize(("stage", "maker"), [(1, 0), (2, 1), (3, 1)])
def test_a_stage_without_its_input_says_which_one_makes_it(checkout, stage, maker):
    process = subprocess.run(
        ["./run.sh", f"--python={sys.executable}", f"--stage={stage}"],
        cwd=checkout, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 2
    assert f"stage {maker} makes it" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


def test_settings_are_checked_without_torch():
    code = "import sys, local.base.config, local.scoring.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_help_and_list_need_no_package(run, tmp_path):
    (tmp_path / "bin").mkdir()
    bare = tmp_path / "bin" / "python3"
    bare.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n')
    bare.chmod(0o755)
    for tool in ("bash", "env", "cat", "dirname"):
        path = subprocess.run(["which", tool], capture_output=True, text=True).stdout.strip()
        (tmp_path / "bin" / tool).symlink_to(path)
    path = str(tmp_path / "bin")
    shown = run("--help", python=None, PATH=path)
    assert shown.code == 0
    assert shown.out == run("-h", python=None, PATH=path).out
    for option in (
        "4 compare",
        "--stage STAGE",
        "--restart",
        "--num-examples N",
        "--engine fast|museval",
    ):
        assert option in shown.out
    lines = shown.out.splitlines()
    assert len(lines) <= 30  # one screen
    assert max(map(len, lines)) <= 80
    listed = run("--list", python=None, PATH=path)
    assert listed.code == 0
    assert listed.out.splitlines() == [
        f"{name:16} {config.describe(name)}" for name in config.recipes()
    ]


def test_the_test_suite_is_a_child_like_the_stages(run):
    assert run("--test").calls == [["pytest"]]
    result = run("--test", "--slow", "--", "-k", "one or two", FAILING="pytest")
    assert result.calls[-1] == ["pytest", "--slow", "-k", "one or two"]
    assert result.code == 7


def test_words_reach_the_stages_as_they_were_typed(run):
    """Nothing is expanded, split or run on the way through bash."""
    odd = "{a: $(touch x) `y` 'q' \"r\" * \\ ;}"
    result = run("--init", odd, "--preset=tiny", "--model", "convtasnet")
    assert result.code == 0, result.err
    assert result.calls[1][-1] == f"--init={odd}"
    assert not (ROOT / "x").exists()


def test_the_nearest_name():
    names = ["model", "stop-stage", "data.batch_size", "optim.lr"]
    expected = {"modle": "model", "lr": "optim.lr", "batch_size": "data.batch_size",
                "optim.rl": "optim.lr", "stopstage": "stop-stage"}  # fmt: skip
    assert {word: known.nearest(word, names) for word in expected} == expected


def test_names_of_settings_without_a_reader_of_yaml():
    """Those of the real reader."""
    for recipe in config.recipes():
        tree = config.read(recipe)
        free = dict.fromkeys(("optim.arguments", "scheduler.arguments"))
        expected = {key.replace("-", "_") for key in config.flatten(tree, stop=free)} - {"model"}
        assert {key.replace("-", "_") for key in known.setting_names(recipe)} - {
            "model"
        } == expected

"""Stage 2: what is written, what is reused, what an interruption leaves, however work is split."""

import functools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas
import pytest
import torch
from conftest import ROOT
from scored_experiments import make_experiment, make_manifest
from triplet_trees import RATE

from local import evaluate
from local.base import audio, disk, experiment, parallel
from local.base.errors import UserError
from local.corpus import manifest
from local.model import checkpoint, separators, windows
from local.scoring import example, metrics, score_table, separated

CHOSEN = ["si_sdr", "snr", "sdr_v4", "stoi"]
SCORES = "scores.csv"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current directory, and a worker that has read nothing yet."""
    monkeypatch.chdir(tmp_path)
    example._manifest.cache_clear()
    example._separator.cache_clear()
    return tmp_path


@pytest.fixture
def trained():
    """A test manifest of five mixtures, and the folder of a tiny untrained Conv-TasNet."""
    return make_experiment("set"), manifest.read(make_manifest("set", 5, RATE))


class Runs(list):
    """Stands in for ``parallel.results``, in this process, and keeps what it was given:
    (model or mixture, metrics, items). ``fails_after``: examples until Ctrl-C."""

    def __init__(self, fails_after=None):
        self.left = fails_after

    def __call__(self, task, items):
        job = task.args[0]
        self.append(("model" if job.model else "mixture", list(job.chosen.names), list(items)))
        for rows in parallel.results(task, items[::-1], jobs=1):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            yield rows


class Gains(torch.nn.Module):
    """A network that gives the mixture at two levels, or the references; NaN, once loud."""

    def __init__(self, voice=2.0, noise=0.25, oracle=False, fails_above=None):
        super().__init__()
        self.gains, self.needs_sources, self.limit = (voice, noise), oracle, fails_above

    def forward(self, mix, sources=None):
        if self.needs_sources:
            return sources
        out = torch.stack([gain * mix for gain in self.gains], 1)
        if self.limit is not None and mix.abs().max() > self.limit:
            out[:, 0, 3] = torch.nan
        return out


def use(monkeypatch, network, rate=RATE):
    """Let every checkpoint hold this network."""
    separator = separators.Separator(network, "toy", rate).eval()
    monkeypatch.setattr(separators, "load", lambda path: separator)


def scored(folder, test, names, engine="fast", run=None):
    """Evaluate in these metrics; the path of scores.csv."""
    chosen = metrics.Chosen(tuple(names), engine)
    return evaluate.evaluate(folder, test, chosen, Runs() if run is None else run)


def read(place) -> pandas.DataFrame:
    return score_table.read_scores(place).set_index(score_table.ROW)


def same(one: pandas.DataFrame, other: pandas.DataFrame) -> None:
    pandas.testing.assert_frame_equal(one, other, rtol=0, atol=1e-6)


def test_scores_are_those_of_the_separated_files(trained):
    folder, test = trained
    place = scored(folder, test, CHOSEN)
    assert place == folder / "scores" / test.hash / SCORES
    table = score_table.read_scores(place)
    each = [name for metric in CHOSEN for name in (metric, f"{metric}_mix", f"{metric}_imp")]
    assert list(table) == ["id", "snr_db", "group", "source", *each, *metrics.EXTRAS, "failed"]
    assert list(table["id"][::2]) == list(table["id"][1::2]) == list(test.rows["id"])
    assert list(table["source"]) == ["voice", "noise"] * 5
    separator, chosen = separators.load(folder / "best_model.pth"), metrics.Chosen(tuple(CHOSEN))
    for i in range(len(test)):
        mix, sources = test.mix(i), test.sources(i)
        estimates = windows.estimate(separator, mix, RATE)
        ours, _ = metrics.score(sources, estimates, RATE, chosen)
        plain, _ = metrics.score(sources, np.stack([mix, mix]), RATE, chosen)
        more, _ = metrics.extras(sources, estimates, mix)
        for k, source in enumerate(("voice", "noise")):
            row = table.iloc[2 * i + k]
            assert (row["snr_db"], row["group"]) == (test.row(i).snr_db, test.row(i).group)
            for (of, metric), value in ours.items():
                if of == source:
                    assert row[metric] == pytest.approx(value, abs=1e-6)
                    assert row[f"{metric}_mix"] == pytest.approx(plain[of, metric], abs=1e-6)
                    assert row[f"{metric}_imp"] == pytest.approx(
                        value - plain[of, metric], abs=1e-6
                    )
            for name in metrics.EXTRAS:
                expected = pytest.approx(more.get((source, name), np.nan), abs=1e-6, nan_ok=True)
                assert row[name] == expected
    assert table["stoi"][1::2].isna().all()
    assert not table["failed"].any()
    assert not list(folder.rglob("*partial*"))


def test_levels_stay_as_the_model_gives_them(trained, monkeypatch):
    folder, test = trained
    use(monkeypatch, Gains(voice=2.0, noise=0.25))
    table = read(scored(folder, test, ["si_sdr", "snr"]))
    np.testing.assert_allclose(table["si_sdr_imp"], 0, atol=1e-6)
    mix, sources = test.mix(0).astype(float), test.sources(0).astype(float)
    for source, reference, gain in zip(("voice", "noise"), sources, (2, 0.25), strict=True):
        error = gain * mix - reference
        snr = 10 * np.log10(reference @ reference / (error @ error))
        assert table.loc[(test.row(0).id, source), "snr"] == pytest.approx(snr, abs=1e-4)


def test_other_rates_are_scored_at_that_of_the_data(trained, monkeypatch):
    folder, test = trained
    use(monkeypatch, Gains(1, 1), rate=44100)
    table = read(scored(folder, test, ["si_sdr", "pesq_nb"]))
    there = audio.resample(test.mix(0), RATE, 44100)
    back = audio.resample(there, 44100, RATE)[: test.row(0).num_samples]
    values, _ = metrics.score(
        test.sources(0), np.stack([back, back]), RATE, metrics.Chosen(("si_sdr",))
    )
    for source in ("voice", "noise"):
        expected = pytest.approx(values[source, "si_sdr"], abs=1e-4)
        assert table.loc[(test.row(0).id, source), "si_sdr"] == expected
    assert table.xs("voice", level="source")["pesq_nb"].notna().all()


def test_an_oracle_is_given_the_references(trained, monkeypatch):
    folder, test = trained
    use(monkeypatch, Gains(oracle=True))
    table = read(scored(folder, test, ["si_sdr", "stoi"]))
    np.testing.assert_allclose(table.xs("voice", level="source")["stoi"], 1)
    assert table["failed"].str.startswith("si_sdr: infinite").all()
    about = disk.read_yaml(folder / "scores" / test.hash / "scores.yml")
    assert about["needs_sources"] is True


def test_a_metric_that_fails_is_recorded_and_the_rest_goes_on(trained, monkeypatch):
    folder, test = trained
    peaks = sorted(np.abs(test.mix(i)).max() for i in range(len(test)))
    use(monkeypatch, Gains(fails_above=peaks[-2]))
    table = read(scored(folder, test, ["si_sdr", "sdr_v4"]))
    failed = table[table["failed"].str.contains("NaN")]
    assert len(failed) == 2
    assert failed["failed"].iloc[0].startswith("si_sdr: estimate with NaN or infinite samples; ")
    assert "sdr_v4: voice: estimate with NaN" in failed["failed"].iloc[1]
    assert failed["sdr_v4"].isna().all()
    assert failed["sdr_v4_mix"].notna().all()
    assert failed["si_sdr"].notna().tolist() == [False, True]
    assert table.drop(failed.index)[["si_sdr", "sdr_v4"]].notna().all(axis=None)
    reasons = score_table.failures(table.reset_index())
    assert reasons[reasons["metric"] == "sdr_v4"]["n"].tolist() == [1, 1]


def test_what_made_the_numbers_is_beside_them(trained):
    folder, test = trained
    place = scored(folder, test, ["snr"], "museval")
    about = disk.read_yaml(place.with_suffix(".yml"))
    expected = {
        "test_hash": test.hash, "data": "set", "metrics": ["snr"], "engine": "museval",
        "recipe": "convtasnet", "seed": 0, "audio_seconds_seen": 0.0, "needs_sources": False,
    }  # fmt: skip
    assert expected.items() <= about.items()
    assert about["model_sha256"] == evaluate._sha256(folder / "best_model.pth")
    assert about["parameters"] > 1000
    assert about["macs_per_second"] > 1e6
    assert 0 < about["real_time_factor"] < 100
    assert {"command", "commit", "packages"} <= set(about["provenance"])


def test_mixtures_are_scored_once_for_all_models(trained):
    folder, test = trained
    first, second, third = Runs(), Runs(), Runs()
    scored(folder, test, CHOSEN, run=first)
    assert [kind for kind, _, _ in first] == ["model", "mixture"]
    other = make_experiment("set", tag="other", n_blocks=2)
    place = scored(other, test, CHOSEN[:2], run=second)
    assert second == [("model", CHOSEN[:2], [0, 1, 2, 3, 4])]
    plain = experiment.EXPERIMENTS / "set" / ".mixture" / f"{test.hash}.csv"
    with pytest.raises(UserError):
        experiment.experiment_name(plain.parent.name)  # no experiment's folder, which may go
    kept = score_table.read_file(plain)
    np.testing.assert_array_equal(read(place)["snr_mix"], kept["snr"])
    scored(other, test, ["si_sir", *CHOSEN[:2]], run=third)  # more is added
    assert third == [(kind, ["si_sir"], [0, 1, 2, 3, 4]) for kind in ("model", "mixture")]
    more = score_table.read_file(plain)
    same(more[kept.columns], kept)
    assert list(more)[4:-1] == ["si_sdr", "si_sir", *CHOSEN[1:]]


def test_mixtures_that_are_lost_are_scored_again_alone(trained, capsys):
    folder, test = trained
    whole, runs = read(scored(folder, test, CHOSEN)), Runs()
    plain = experiment.EXPERIMENTS / "set" / ".mixture" / f"{test.hash}.csv"
    plain.unlink()
    place = scored(folder, test, ["snr"], run=runs)
    assert runs == [("mixture", CHOSEN, [0, 1, 2, 3, 4])]
    assert "scored before" in capsys.readouterr().out
    same(read(place), whole)


def test_more_metrics_are_added_to_those_there(trained):
    folder, test = trained
    place = scored(folder, test, ["stoi", "snr"])
    before, runs = read(place), Runs()
    scored(folder, test, ["si_sdr", "snr"], run=runs)
    assert [chosen for _, chosen, _ in runs] == [["si_sdr"]] * 2
    whole = read(place)
    assert disk.read_yaml(place.with_suffix(".yml"))["metrics"] == ["si_sdr", "snr", "stoi"]
    same(whole[before.columns], before)
    place.unlink()
    scored(folder, test, ["si_sdr", "snr", "stoi"])
    same(read(place), whole)


def test_finished_scores_stay_until_model_or_engine_change(trained, capsys):
    folder, test = trained
    place = scored(folder, test, CHOSEN)
    written, runs = place.stat().st_mtime_ns, Runs()
    scored(folder, test, CHOSEN[1:], run=runs)
    assert not runs
    assert place.stat().st_mtime_ns == written
    assert "scored before" in capsys.readouterr().out
    scored(folder, test, CHOSEN, "museval", run=runs)
    assert [kind for kind, _, _ in runs] == ["model", "mixture"]
    other = make_experiment("set", tag="other", n_blocks=2)
    os.replace(other / "best_model.pth", folder / "best_model.pth")
    runs.clear()
    scored(folder, test, CHOSEN, "museval", run=runs)
    assert [kind for kind, _, _ in runs] == ["model"]


def test_scores_that_were_damaged_are_made_again(trained):
    folder, test = trained
    place = scored(folder, test, ["snr"])
    whole = read(place)
    place.write_text("nothing of use\n")
    scored(folder, test, ["snr"])
    same(read(place), whole)


def interrupted(folder, test, examples=3):
    """A partial file of so many examples; the scores that an uninterrupted run gives."""
    place = scored(folder, test, CHOSEN)
    whole = read(place)
    place.unlink()
    with pytest.raises(KeyboardInterrupt):
        scored(folder, test, CHOSEN, run=Runs(fails_after=examples))
    assert not place.exists()
    return place.with_name("scores.partial.csv"), whole


@pytest.mark.parametrize("cut", ["nothing", "torn line", "one source", "zeros", "only a head"])
def test_an_interrupted_evaluation_continues(trained, cut):
    folder, test = trained
    partial, whole = interrupted(folder, test)
    text = partial.read_bytes()
    lines = text.splitlines(keepends=True)
    assert len(lines) == 2 + 2 * 3  # last examples first: see Runs
    left, torn = {
        "nothing": ([0, 1], text),
        "torn line": ([0, 1, 2], text[:-9]),
        "one source": ([0, 1, 2], b"".join(lines[:-1])),
        "zeros": ([0, 1, 2], b"".join(lines[:-2]) + bytes(400)),
        "only a head": ([0, 1, 2, 3, 4], lines[0] + lines[1][:20]),
    }[cut]
    partial.write_bytes(torn)
    runs = Runs()
    place = scored(folder, test, CHOSEN, run=runs)
    assert runs == [("model", CHOSEN, left)]
    same(read(place), whole)
    assert not partial.exists()


@pytest.mark.parametrize("changed", ["model", "metrics", "engine"])
def test_a_partial_file_of_other_work_is_not_continued(trained, changed):
    folder, test = trained
    _, whole = interrupted(folder, test)
    chosen, engine, runs = CHOSEN, "fast", Runs()
    if changed == "model":
        other = make_experiment("set", tag="other", n_blocks=2)
        os.replace(other / "best_model.pth", folder / "best_model.pth")
    elif changed == "metrics":
        chosen = ["si_sdr", "snr"]
    else:
        engine = "museval"
    place = scored(folder, test, chosen, engine, run=runs)
    assert runs[0] == ("model", chosen, [0, 1, 2, 3, 4])
    expected = whole if changed == "engine" else None
    if expected is not None:
        same(read(place), expected)


def test_an_interruption_within_the_mixture_keeps_the_rest(trained):
    folder, test = trained
    with pytest.raises(KeyboardInterrupt):
        scored(folder, test, ["snr"], run=Runs(fails_after=5 + 2))
    runs = Runs()
    scored(folder, test, ["snr"], run=runs)
    assert runs == [("model", ["snr"], []), ("mixture", ["snr"], [0, 1, 2])]
    assert not list(folder.parent.rglob("*partial*"))


def program(*options, **more):
    """Stage 2 as a child process on the experiment of ``trained``."""
    command = [sys.executable, "-m", "local.evaluate", "--model", "convtasnet", "--preset", "tiny"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, *options], env=environment, text=True, **more)


def test_a_killed_program_continues(tmp_path):
    folder = make_experiment("set")
    test = manifest.read(make_manifest("set", 40, RATE))
    place = folder / "scores" / test.hash / SCORES
    partial = place.with_name("scores.partial.csv")
    for enough, sign in ((6, signal.SIGKILL), (20, signal.SIGINT)):
        child = program("--metrics", "si_sdr,stoi", "--jobs", "1", stderr=subprocess.DEVNULL)
        while child.poll() is None and (
            not partial.is_file() or partial.read_bytes().count(b"\n") < enough
        ):
            time.sleep(0.005)
        child.send_signal(sign)
        assert child.wait() == (-9 if sign == signal.SIGKILL else 130)
    runs = Runs()
    scored(folder, test, ["si_sdr", "stoi"], run=runs)
    assert 0 < len(runs[0][2]) <= 32
    continued = read(place)
    place.unlink()
    scored(folder, test, ["si_sdr", "stoi"])
    same(read(place), continued)


def test_two_processes_give_the_scores_of_one(trained):
    folder, test = trained
    chosen = metrics.choose("all", [RATE]).names
    place = scored(folder, test, chosen, run=functools.partial(parallel.results, jobs=1))
    one = read(place)
    for path in (place, *(experiment.EXPERIMENTS / "set" / ".mixture").iterdir()):
        path.unlink()
    scored(folder, test, chosen, run=functools.partial(parallel.results, jobs=2))
    same(read(place), one)


@pytest.mark.parametrize("jobs", [1, 2])
def test_batches_on_a_device_give_the_scores_of_one_at_a_time(trained, jobs):
    """The CPU stands in for a GPU."""
    folder, test = trained
    chosen = metrics.choose("si,stoi", [RATE]).names
    place = scored(folder, test, chosen)
    one, held = read(place), sorted(place.parent.rglob("*.npy"))
    for path in (place, *held):
        path.unlink()
    apart = functools.partial(separated.results, device=torch.device("cpu"), jobs=jobs)
    evaluate.evaluate(folder, test, metrics.Chosen(chosen), Runs(), apart)
    pandas.testing.assert_frame_equal(read(place), one, rtol=0, atol=1e-4)
    assert sorted(place.parent.rglob("*.npy")) == held
    about = disk.read_yaml(place.with_suffix(".yml"))
    assert about["real_time_factor"] is None
    assert about["real_time_factor_is"] == "not measured: separated in batches on cpu"


def test_scores_of_a_band_above_the_models_are_made_again(trained, monkeypatch):
    """What was scored before voices kept a share of it is not taken for what is scored now."""
    folder, test = trained
    place = scored(folder, test, ["si_sdr"])
    assert "above" not in disk.read_yaml(place.with_suffix(".yml"))
    package = checkpoint.read(folder / "best_model.pth")
    package["winnow"]["sample_rate"] = RATE // 2
    monkeypatch.setattr(checkpoint, "read", lambda path: package)
    run = Runs()
    scored(folder, test, ["si_sdr"], run=run)
    assert len(run) > 0
    assert disk.read_yaml(place.with_suffix(".yml"))["above"] == "follow"


def test_a_cluster_gives_the_scores_of_one_process(trained, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder, test = trained
    place = scored(folder, test, CHOSEN)
    one = read(place)
    place.unlink()
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        options = {"scheduler": cluster.scheduler_address}
        run = functools.partial(parallel.results, **options)
        scored(folder, test, CHOSEN, run=run)
        same(read(place), one)
        with pytest.raises(UserError, match="not there"):  # a fault within a worker
            list(run(manifest.read, ["nowhere.csv"]))


def test_two_threads_of_a_worker_score_one_after_the_other(trained):
    folder, test = trained
    place = scored(folder, test, CHOSEN)
    one = read(place)
    place.unlink()

    def threads(task, items):
        import joblib

        return joblib.Parallel(n_jobs=3, prefer="threads")(joblib.delayed(task)(i) for i in items)

    scored(folder, test, CHOSEN, run=threads)
    same(read(place), one)


def main(monkeypatch, *options):
    monkeypatch.setattr(
        sys, "argv", ["evaluate", "--model", "convtasnet", "--preset", "tiny", *options]
    )
    evaluate.main()


def test_the_program_says_where_the_scores_are_and_what_failed(trained, monkeypatch, capsys):
    folder, test = trained
    main(monkeypatch, "--metrics", "si,pesq", "--jobs", "1")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{folder}/scores/{test.hash}/scores.csv: scores of 5 examples"
    # the mixture is within the span of its sources: its SAR is infinite, which is no failure
    path = folder / "scores" / test.hash / "scores.csv"
    assert score_table.read_scores(path)["si_sar_mix"].isna().all()
    assert said[1:] == []
    table = pandas.read_csv(path)
    table["failed"] = "si_sdr: silent reference"
    table.to_csv(path, index=False)
    main(monkeypatch, "--metrics", "si,pesq", "--jobs", "1")
    said = capsys.readouterr().out.splitlines()
    assert said[-1:] == ["  voice si_sdr, noise si_sdr: missing for 5 of 5 examples: silent"
                        " reference"]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), [
    (["--metrics", "si_sdrr"], "unknown metric 'si_sdrr'; did you mean 'si_sdr'"),
    (["--metrics", "pesq_wb"], "pesq_wb does not fit the data's sample rate"),
    (["--jobs", "0"], "--jobs expects 1 or more, found 0"),
    (["--engine", "mir_eval"], "invalid choice"),
    (["--device", "mps"], "--device mps: there is none here; found cpu"),
    (["--device", "cuda", "--scheduler", "tcp://host:1"], "exclude each other"),
    (["--tag", "none"], "stage 1 makes it"),
    (["--name", "other"], "stage 1 makes it"),
    (["--job", "2"], "did you mean '--jobs'"),
])  # fmt: skip
def test_faults_of_the_command_line(trained, monkeypatch, options, expected):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UserError, match=expected):
        main(monkeypatch, *options)


def test_faults_of_files(trained, monkeypatch):
    folder, test = trained
    model = folder / "best_model.pth"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a model file"):
        main(monkeypatch, "--jobs", "1")
    model.write_bytes(whole)
    (test.root / test.row(2).voice).unlink()
    with pytest.raises(UserError, match="not there"):
        main(monkeypatch, "--jobs", "1")
    test.path.write_text(test.path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(UserError, match="no examples"):
        main(monkeypatch)
    test.path.unlink()
    with pytest.raises(UserError, match="stage 0 makes it"):
        main(monkeypatch)


def test_the_program_starts_without_torch():
    code = (
        "import sys, local.evaluate; print({'torch', 'joblib', 'distributed'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

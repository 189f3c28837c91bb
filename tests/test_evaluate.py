"""Stage 2: what is written, the same however the work is split; and the program."""

import functools
import subprocess
import sys

import numpy as np
import pandas
import pytest
import torch
from conftest import ROOT
from evaluations import CHOSEN, SCORES, Runs, forget, read, same, scored
from scored_experiments import make_experiment, make_manifest
from triplet_trees import RATE

from local import evaluate
from local.base import audio, disk, experiment, parallel
from local.base.errors import UserError
from local.corpus import manifest
from local.model import separators, windows
from local.scoring import metrics, score_table, separated


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current directory, and a worker that has read nothing yet."""
    monkeypatch.chdir(tmp_path)
    forget()
    return tmp_path


@pytest.fixture
def trained():
    """A test manifest of five mixtures, and the folder of a tiny untrained Conv-TasNet."""
    return make_experiment("set"), manifest.read(make_manifest("set", 5, RATE))


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

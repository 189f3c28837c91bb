"""Stage 2: score a trained model on the test manifest, example by example.

    python -m local.evaluate --model convtasnet [--metrics LIST] [--jobs N] [--scheduler ADDRESS]

Whole files, one at a time, estimates at the level that the model gives them. The same command
again continues an interrupted evaluation; what is already scored is not scored again, and more
``--metrics`` are added to it. The mixture is scored once for all models of a manifest. Estimates
are kept for the pages of stages 3 and 4, see ``local.scoring.kept``.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas

from local import SOURCES
from local.base import command_line, disk, experiment, parallel, progress
from local.base.errors import CONTINUES, Parser, UserError, guard
from local.corpus import manifest
from local.model import pretrained
from local.scoring import example, kept, metrics, score_table, separated
from local.scoring.journal import FAILED, Journal

UNMEASURED = "not measured: separated in batches on {}"
REAL_TIME = (
    "wall seconds of separation per second of audio, median over files, one thread per worker;"
    " resampling included, reading and scoring not"
)


def main() -> None:
    """Evaluate the experiment that the command line names; write into its folder."""
    parser = Parser(prog="python -m local.evaluate", description=__doc__.split("\n")[0])
    experiment.add_arguments(parser)
    names = ", ".join([*metrics.GROUPS, *metrics.METRICS])
    parser.add_argument(
        "--metrics", default="all", metavar="LIST", help=f"with commas between: {names}"
    )
    parser.add_argument(
        "--engine", default="fast", choices=metrics.ENGINES,
        help="what computes BSS Eval: ours, or museval itself, to check it",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (default: one per core)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="of a Dask cluster that does the work; its workers run in this checkout, see the"
             " same files and score one example at a time each (dask worker --nthreads 1)",
    )  # fmt: skip
    command_line.add_device(parser)
    args = parser.parse_args()
    if args.jobs is not None and args.jobs < 1:
        raise UserError(f"--jobs expects 1 or more, found {args.jobs}")
    folder = experiment.locate(args)
    test = manifest.read(experiment.data_dir(folder.parent.name) / "test.csv")
    chosen = metrics.choose(args.metrics, test.rows["sample_rate"], args.engine)
    run = functools.partial(parallel.results, jobs=args.jobs, scheduler=args.scheduler)
    if args.scheduler and args.device not in ("auto", "cpu"):
        raise UserError(f"--scheduler and --device {args.device} exclude each other: the workers of"
                        " a cluster separate on their CPUs")  # fmt: skip
    device = pretrained.choose_device("cpu" if args.scheduler else args.device)
    apart = None
    if device.type != "cpu":
        apart = functools.partial(separated.results, device=device, jobs=args.jobs)
    place = evaluate(folder, test, chosen, run, apart)
    print(f"{place}: scores of {len(test)} examples")
    failures = score_table.failures(score_table.read_scores(place))
    for (reason, count), of in failures.groupby(["reason", "n"], sort=False):
        names = ", ".join(of["source"] + " " + of["metric"])
        print(f"  {names}: missing for {count} of {len(test)} examples: {reason}")


def evaluate(
    folder: Path,
    test: manifest.Manifest,
    chosen: metrics.Chosen,
    run: Callable = parallel.results,
    apart: Callable | None = None,
) -> Path:
    """Score an experiment's ``best_model.pth``; write scores.csv and scores.yml.

    Args:
        folder: of the experiment, as ``experiment.locate`` finds it.
        test: the manifest to score on.
        chosen: the metrics.
        run: (task, items) -> results in any order, such as ``parallel.results``.
        apart: ``separated.results`` with a device, where the network runs here and not in the
            workers.

    Returns:
        the path of scores.csv.

    Raises:
        UserError: nothing to score; a sound file or the model cannot be read; what ``run`` says.
    """
    if not len(test):
        raise UserError(f"{test.path}: no examples to score")
    of = experiment.Experiment(folder)
    model, place = of.model, of.scores(test.hash)
    mixtures = example.Job(str(test.path.resolve()), test.hash, chosen)
    estimates = mixtures._replace(model=str(model.resolve()), model_sha256=_sha256(model),
                                  above=_above(model, test))  # fmt: skip
    plain = score_table.mixtures_of(place, chosen.engine)
    held = kept.Kept(place, estimates.model_sha256)
    known = _known(place, estimates)
    if known is not None and set(chosen.names) <= set(known):
        print(f"{place}: scored before, by this model in these metrics")
        score_mixtures(plain, test, mixtures, _metrics_of(known), run)
        return place
    about = _about(model)  # what is no model ends here, before any work
    held.drop_others()
    estimates = estimates._replace(scores=str(place.resolve()))
    separate = run
    if apart is not None:
        separate = functools.partial(apart, model=model, test=test)
    table = _scored(place, test, estimates, separate, folder.name)
    seconds = table.pop(example.SECONDS).xs(SOURCES[0], level="source").to_numpy()
    ratios = seconds * test.rows["sample_rate"] / test.rows["num_samples"]
    score_mixtures(plain, test, mixtures, _metrics_of(table), run)
    about |= {
        "data": folder.parent.name,
        "real_time_factor": None if apart else float(ratios.median()),
        "real_time_factor_is": UNMEASURED.format(apart.keywords["device"]) if apart else REAL_TIME,
    }
    table["swapped"] = table["swapped"].astype("Int64")
    place.with_name("by_snr.csv").unlink(missing_ok=True)  # means of the scores before, if any
    _write(place, test, table, estimates.identity | about)
    wanted = kept.choose(test.rows["num_samples"])
    if lost := sum(not held.has(i) for i in wanted):
        print(f"{held.folder}: no estimates kept of {lost} of {len(wanted)} examples (no room on"
              " the disk, or NaN or huge samples); stages 3 and 4 separate them again"
              )  # fmt: skip
    return place


def score_mixtures(
    place: Path, test: manifest.Manifest, job: example.Job, names: tuple[str, ...], run: Callable
) -> None:
    """Score the unprocessed mixture as the estimate of each source.

    ``place`` keeps the scores for all models that are scored on this manifest; what is not there
    yet is computed and added.

    Args:
        job: without a model.
        names: of metrics.
        test, run: see ``evaluate``.
    """
    job = job._replace(chosen=job.chosen._replace(names=names))
    known = _known(place, job)
    if known is None or not set(names) <= set(known):
        _write(place, test, _scored(place, test, job, run, "mixture"), job.identity)


def _scored(place, test, job, run, label) -> pandas.DataFrame:
    """What is known at ``place`` and the rest of the job, in the order of the manifest.

    The rest is computed row by row, or continued, in a journal beside ``place``.
    """
    known = _known(place, job)
    missing = [name for name in job.chosen.names if known is None or name not in known]
    job = job._replace(chosen=job.chosen._replace(names=tuple(missing)))
    ids = [test.row(i).id for i in range(len(test))]
    work = job.identity | {"metrics": missing}
    with Journal(_partial(place), work, job.columns) as journal:
        rest = [i for i, name in enumerate(ids) if name not in journal.rows]
        arriving = run(functools.partial(example.score, job), rest)
        done = len(ids) - len(rest)
        for rows in progress.bar(arriving, label, len(ids), "files", initial=done):
            journal.append(rows)
    fresh = pandas.DataFrame([row for name in ids for row in journal.rows[name]]).set_index(
        score_table.ROW
    )
    if known is None:
        return fresh
    known = known.reindex(fresh.index)
    fresh[FAILED] = [a | b for a, b in zip(known[FAILED], fresh[FAILED], strict=True)]
    both = fresh.join(known[[name for name in known if name not in fresh]])
    return both[[*_metrics_of(both), *(name for name in fresh if name not in missing)]]


def _known(place: Path, job: example.Job) -> pandas.DataFrame | None:
    """The scores at ``place``, without what ``_write`` adds; None where there are none, or of
    another model, manifest or engine."""
    about = place.with_suffix(".yml")
    try:
        held = disk.read_yaml(about)
        table = score_table.read_file(place).set_index(score_table.ROW)
    except UserError:  # missing or damaged: this stage makes it
        return None
    if not isinstance(held, dict) or not job.identity.items() <= held.items():
        return None
    columns = [name for name in (*metrics.METRICS, *metrics.EXTRAS) if name in table]
    table[FAILED] = [
        {name: why for name, why in score_table.read_failed(text).items() if name in columns}
        for text in table[FAILED]
    ]
    return table[[*columns, FAILED]]


def _write(place: Path, test: manifest.Manifest, table: pandas.DataFrame, about: dict) -> None:
    """Write scores and what they are of; what was kept of interrupted work is then removed."""
    rows = test.rows.set_index("id").loc[table.index.get_level_values("id")]
    table = table.reset_index().assign(
        **{FAILED: table[FAILED].map(score_table.write_failed).array}
    )
    for place_of, name in enumerate(("snr_db", "group"), 1):
        table.insert(place_of, name, rows[name].to_numpy())
    with disk.replace(place) as temporary:
        table.to_csv(temporary, index=False)
    about |= {"metrics": [*_metrics_of(table)], "provenance": experiment.provenance()}
    disk.write_yaml(place.with_suffix(".yml"), about)
    _partial(place).unlink(missing_ok=True)


def _partial(place: Path) -> Path:
    return place.with_suffix(".partial.csv")


def _metrics_of(table: pandas.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in metrics.METRICS if name in table)


def _about(model: Path) -> dict:
    """What a model file says of itself that scores.yml repeats."""
    from local.model import separators

    separator = separators.load(model)
    names = ("parameters", "macs_per_second", "audio_seconds_seen", "seed")
    return {
        "recipe": separator.recipe,
        "needs_sources": separator.needs_sources,
        **{name: separator.infos.get(name) for name in names},
    }


def _above(model: Path, test: manifest.Manifest) -> str | None:
    """What decides whose the band above the model's is, where a test example has one."""
    from local.model import above, checkpoint

    rate = checkpoint.read(model)["winnow"]["sample_rate"]
    return above.WAYS[0] if (test.rows["sample_rate"] > rate).any() else None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    guard(main, again=CONTINUES)

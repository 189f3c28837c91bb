"""Train a recipe with several settings of some keys and show SI-SDR for each.

    python -m local.study --model NAME --preset small --name DATA \\
        --vary model.window,model.hop 512,128 1024,256 [--trainer.max_time 00:00:04:00 ...]

After ``--vary`` come the keys, separated by commas, then the settings, each with a value for every
key in order. Each setting is an experiment with its own tag. The same command continues an
interrupted study and repeats nothing. The stages' output goes to ``queue.log`` in the experiment's
folder.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import pandas

from local import SOURCES
from local.base import config, disk, experiment, stage_process
from local.base.errors import CONTINUES, Parser, UserError, guard
from local.corpus import manifest
from local.reporting import statistics
from local.reporting.statistics import ALL
from local.scoring import score_table
from local.scoring.score_table import IMPROVEMENT

METRIC = "si_sdr"
COSTS = ("parameters", "macs_per_second", "audio_seconds_seen")  # of scores.yml


class Trial(NamedTuple):
    """The experiment of one setting.

    Attributes:
        folder: where it is kept.
        names: the options that name it for the stages, as words of a command line.
        settings: dotted key of conf.yml -> value, as on a command line.
    """

    folder: Path
    names: list[str]
    settings: dict[str, str]


def main() -> None:
    """Carry out the study of the command line; write its table and its figure."""
    parser = Parser(prog="python -m local.study", description=__doc__.split("\n")[0])
    experiment.add_arguments(parser)
    parser.add_argument(
        "--vary", nargs="+", required=True, metavar="WORD",
        help="keys with commas between, then settings: as many values each",
    )  # fmt: skip
    own, overrides = config.split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    keys, settings = read_settings(args.vary)
    data = experiment.locate_data(args)
    found = experiments(args, data, overrides, keys, settings)
    test = manifest.read(experiment.data_dir(data) / "test.csv")
    if not len(test):
        raise UserError(f"{test.path}: no examples to score")
    failed = {}
    for number, (name, of) in enumerate(found.items(), 1):
        reason = carry_out(of)
        if reason:
            failed[name] = reason
        line = f"[{number}/{len(found)}] {of.folder.name}: {reason or said(of, test.hash)}"
        print(line, flush=True)  # hours may lie between two of them
    done = {name: of for name, of in found.items() if name not in failed}
    if done:
        label = "-".join(key.rpartition(".")[2] for key in keys)
        place = experiment.EXPERIMENTS / data / "study" / (
            f"{experiment.experiment_name(args.model, args.preset, args.tag)}_{label}")  # fmt: skip
        table = results(done, test.hash)
        about = {"settings": {name: of.settings for name, of in done.items()}, "failed": failed}
        write(place, table, ", ".join(keys), about)
        print(f"{place}: written")
    if failed:
        print(f"winnow study: failed: {', '.join(failed)}; the same command tries again",
              file=sys.stderr)  # fmt: skip
        raise SystemExit(1)


def read_settings(words: list[str]) -> tuple[list[str], list[list[str]]]:
    """The keys and the settings after ``--vary``.

    Raises:
        UserError: no settings, an empty value, too few or too many, or twice the same.
    """
    first, *others = words
    keys, settings = first.split(","), [word.split(",") for word in others]
    if not settings:
        raise UserError(f"--vary {first} expects settings after the keys, such as 512,128")
    for word, values in zip(others, settings, strict=True):
        if len(values) != len(keys) or not all(values):
            raise UserError(f"--vary expects {len(keys)} values for {first}, found {word!r}")
        if settings.count(values) > 1:
            raise UserError(f"--vary: {word} appears twice")
    return keys, settings


def experiments(
    args, data: str, overrides: dict[str, str], keys: list[str], settings: list[list[str]]
) -> dict[str, Trial]:
    """The experiments of a study by their settings as typed; all are checked before any is run.

    Args:
        args: options of ``experiment.add_arguments``.
        data: name of the data set.
        overrides: dotted key -> value, the same for all.
        keys, settings: of ``read_settings``.

    Raises:
        UserError: settings that the recipe's conf.yml does not allow, or set twice.
    """
    twice = set(keys) & set(overrides)
    if twice:
        raise UserError(f"--{min(twice)} is varied: it cannot be set for all too")
    found = {}
    for values in settings:
        changes = overrides | dict(zip(keys, values, strict=True))
        config.read(args.model, args.preset, changes)
        words = [key.rpartition(".")[2].replace("_", "-") + value
                 for key, value in zip(keys, values, strict=True)]  # fmt: skip
        tag = "_".join([args.tag, *words] if args.tag else words)
        experiment.check_name(tag, "--vary")
        folder = experiment.exp_dir(data, args.model, args.preset, tag)
        names = {"model": args.model, "name": data, "preset": args.preset, "tag": tag}
        names = [f"--{option}={name}" for option, name in names.items() if name]
        found[",".join(values)] = Trial(folder, names, changes)
    return found


def carry_out(of: Trial) -> str | None:
    """Train and score one experiment.

    Returns:
        the line that says why it failed; None: it is done.
    """
    settings = [f"--{key}={value}" for key, value in of.settings.items()]
    for stage, extra in (("train", settings), ("evaluate", [f"--metrics={METRIC}"])):
        fault = stage_process.run_stage(stage, [*of.names, *extra], of.folder / stage_process.LOG)
        if fault is not None:
            return fault
    return None


def said(of: Trial, test_hash: str) -> str:
    """A line on an experiment that is done."""
    rows = results({"": of}, test_hash).to_dict("records")
    return "SI-SDR " + ", ".join(f"{row['source']} {row['mean']:.1f} dB" for row in rows)


def results(done: dict[str, Trial], test_hash: str) -> pandas.DataFrame:
    """Means over the test mixtures, and what they cost.

    Args:
        done: setting -> its experiment.
        test_hash: of the test manifest.

    Returns:
        a row for each setting and source: setting, source, n, n_failed, mean, ci_low, ci_high
        (SI-SDR in dB), improvement, improvement_ci_low, improvement_ci_high, the costs of
        scores.yml, experiment (its folder's name).
    """
    rows = []
    for setting, of in done.items():
        place = experiment.Experiment(of.folder).scores(test_hash)
        about = disk.read_yaml(place.with_suffix(".yml"), score_table.SCORED)
        table = statistics.by_snr(score_table.read_scores(place))
        table = table[table["snr_db"] == ALL].set_index(["source", "metric"])
        for source in SOURCES:
            own, gain = table.loc[(source, METRIC)], table.loc[(source, METRIC + IMPROVEMENT)]
            rows.append({
                "setting": setting, "source": source,
                **{name: own[name] for name in ("n", "n_failed", "mean", "ci_low", "ci_high")},
                "improvement": gain["mean"], "improvement_ci_low": gain["ci_low"],
                "improvement_ci_high": gain["ci_high"],
                **{name: about.get(name) for name in COSTS}, "experiment": of.folder.name,
            })  # fmt: skip
    return pandas.DataFrame(rows)


def write(place: Path, table: pandas.DataFrame, keys: str, about: dict) -> None:
    """Write study.csv, study.svg and, where they come from, study.yml.

    Args:
        place: the study's folder.
        table: as ``results`` makes it.
        keys: what was varied, for the figure's axis.
        about: further entries of study.yml, plain types.
    """
    from local.reporting import figures

    with disk.replace(place / "study.csv") as temporary:
        table.to_csv(temporary, index=False)
    figures.write(figures.study(table, keys), place / "study.svg")
    about = about | {"provenance": experiment.provenance()}
    disk.write_yaml(place / "study.yml", about)


if __name__ == "__main__":
    guard(main, again=CONTINUES)

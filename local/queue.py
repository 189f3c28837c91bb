"""Train several recipes one after the other, then evaluate each.

    python -m local.queue NAME... --name DATA [--preset small] [--tag WORD] [--optim.lr 3e-4 ...]

Stage 1 trains each recipe for the ``trainer.max_time`` of its preset; then stage 2 scores all. The
same command continues an interrupted run and repeats nothing. A recipe that fails does not stop
the others: it gives a line at the end, and the exit code is 1. The stages' output goes to
``queue.log`` in the experiment's folder.
"""

import sys
from pathlib import Path

from local.base import config, experiment, stage_process
from local.base.errors import CONTINUES, Parser, UserError, guard


def main() -> None:
    """Run the stages of the command line; print one line for each that ends."""
    parser = Parser(prog="python -m local.queue", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="NAME", help="a folder below recipes/")
    parser.add_argument("--name", required=True, help="name of the data set, a folder below data/")
    parser.add_argument("--preset", help="a partial tree of settings in each recipe's conf.yml")
    parser.add_argument("--tag", help="a word added to the experiments' names")
    own, overrides = config.split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    models = list(dict.fromkeys(args.models))
    for model in models:  # check the last one before the first is trained
        config.read(model, args.preset, overrides)
        experiment.experiment_name(model, args.preset, args.tag)
    if not (experiment.data_dir(args.name) / "train.csv").is_file():
        raise UserError(f"{experiment.data_dir(args.name)}/train.csv: not there; stage 0 makes it")
    settings = [f"--{key}={value}" for key, value in overrides.items()]
    failed = run(models, args, settings)
    for model, fault in failed.items():
        print(f"{model}: failed: {fault}", file=sys.stderr)
    if failed:
        raise SystemExit(1)


def run(models: list[str], args, settings: list[str]) -> dict[str, str]:
    """Train all, then evaluate those that were trained.

    Args:
        models: names of recipes.
        args: with ``name``, ``preset`` and ``tag``.
        settings: further arguments of stage 1.

    Returns:
        recipe -> the last line of output of its failed stage.
    """
    failed = {}
    for stage, extra in (("train", settings), ("evaluate", [])):
        for i, model in enumerate(models, 1):
            if model in failed:
                continue
            folder = experiment.exp_dir(args.name, model, args.preset, args.tag)
            arguments = [f"--model={model}", f"--name={args.name}", *extra]
            arguments += [f"--{key}={value}" for key in ("preset", "tag")
                          if (value := getattr(args, key))]  # fmt: skip
            fault = stage_process.run_stage(stage, arguments, folder / stage_process.LOG)
            if fault is not None:
                failed[model] = fault
            outcome = "failed" if fault is not None else describe(stage, folder)
            print(f"{stage} {i}/{len(models)} {folder.name}: {outcome}", flush=True)
    return failed


def describe(stage: str, folder: Path) -> str:
    """The result of a stage in an experiment's folder, in a few words."""
    if stage == "evaluate":
        return "scored"
    facts = experiment.Experiment(folder).facts
    if facts.get("training_seconds") is None:
        return "nothing to train by gradients"
    return (
        f"trained {facts['training_seconds']:,.0f} s,"
        f" {facts['audio_seconds_seen']:,.0f} s of audio seen"
    )


if __name__ == "__main__":
    guard(main, again=CONTINUES)

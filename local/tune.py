"""Search for settings: run them, compare them on the valid split, name the best.

    python -m local.tune --model NAME --name DATA [--preset small] \\
        --optim.lr log:1e-4..1e-2 --model.channels '[16,32]|[32,64]' [--trials 30]

Values with commas or ``|`` between are tried one by one, a range is drawn from; without a range
it is a grid. Without a key that is varied, the recipe's conf.yml says what is (``tune``), and
several recipes (``--model a,b``) are compared as they are. The same command continues an
interrupted search and repeats nothing; machines whose ``--storage`` is the same share the work.
What comes out lies in ``exp/DATA/tune/``. The test split is read with ``--evaluate`` alone, when
the search is over.
"""

import sys
from pathlib import Path

from local import SOURCES
from local.base import command_line, config, experiment
from local.base.errors import CONTINUES, Parser, UserError, guard, nearest
from local.model import pretrained
from local.tuning import space as spaces
from local.tuning import trial as trials

OBJECTIVES = {"voice": ("voice",), "noise": ("noise",), "both": SOURCES}
TRIALS = 20  # where neither trials nor hours are given, and it is no grid
ROW = 10  # failures one after the other that end a search
EXTRA = "optuna"


def main() -> None:
    """Search as the command line says; print the table and the best settings."""
    own, typed = config.split_dotted(sys.argv[1:])
    args = arguments().parse_args(own)
    space = spaces.read(args.model, args.preset, typed)
    check(args, space)
    args.model = space.models[0]
    data = experiment.locate_data(args)
    device = pretrained.choose_device(args.device)
    split = read_split(data, args.files)._replace(device=None if device.type == "cpu" else device)
    search = begin(args, space, data, split)
    from local.tuning import study

    with study.faults(args.storage):
        failed = go_on(args, search, split, data)
        report(search, split, place(args, space, data))
    if args.evaluate:
        failed |= evaluate(search, args.tag, data, args.device)
    for name, reason in failed.items():
        print(f"{name}: failed: {reason}", file=sys.stderr)
    if failed:
        raise SystemExit(1)


def arguments() -> Parser:
    """The program's own options."""
    parser = Parser(prog="python -m local.tune", description=__doc__.split("\n")[0])
    experiment.add_arguments(parser)
    parser.add_argument("--sampler", help="tpe, random or grid; default tpe where there is a range")
    parser.add_argument("--trials", type=int, metavar="N",
                        help=f"end at so many; default {TRIALS}, of a grid all")  # fmt: skip
    parser.add_argument("--hours", type=float, metavar="H",
                        help="begin no trial after so many hours of trials, in all")  # fmt: skip
    parser.add_argument("--objective", default="voice",
                        help="whose SI-SDR: voice, noise or both; default voice")  # fmt: skip
    parser.add_argument("--pruner", help="ends trainings early: median, hyperband or none; default"
                        " median, of a grid none")  # fmt: skip
    parser.add_argument("--files", type=int, metavar="N",
                        help="score so many mixtures of valid; default all")  # fmt: skip
    parser.add_argument("--storage", metavar="URL",
                        help="Optuna's; default an SQLite file in exp/DATA/tune")  # fmt: skip
    parser.add_argument("--evaluate", action="store_true",
                        help="at the end, stages 2 and 3 score them on the test split")  # fmt: skip
    command_line.add_device(parser)
    return parser


def check(args, space: spaces.Space) -> None:
    """Refuse what the options cannot be, and settings that no training would begin with.

    Raises:
        UserError: so it is; the line names the option and what it may be.
    """
    try:
        from local.training import pruning
        from local.tuning import study
    except ModuleNotFoundError as error:
        if error.name not in (EXTRA, "sqlalchemy"):
            raise
        raise UserError("needs the package optuna: ./run.sh --tune installs it, or pip install"
                        " '.[tune]'") from None  # fmt: skip
    args.sampler = args.sampler or ("grid" if space.finite else "tpe")
    args.pruner = args.pruner or ("none" if args.sampler == "grid" else "median")
    if args.trials is None and args.hours is None and args.sampler != "grid":
        args.trials = TRIALS
    for option, known in (("sampler", study.SAMPLERS), ("pruner", pruning.PRUNERS),
                          ("objective", OBJECTIVES)):  # fmt: skip
        found = getattr(args, option)
        if found not in known:
            raise UserError(f"--{option} expects one of {', '.join(known)}, found {found!r}"
                            f"{nearest(found, known)}")  # fmt: skip
    for option, least in (("files", 1), ("trials", 0), ("hours", 0)):
        found = getattr(args, option)
        if found is not None and not found >= least:
            raise UserError(f"--{option} expects {least} or more, found {found}")
    spaces.refuse(space)


def read_split(data: str, files: int | None) -> trials.Split:
    """The manifests, and the rows of valid that are scored.

    Raises:
        UserError: a missing manifest, or one without rows.
    """
    from local.corpus import manifest

    train, valid = (manifest.read(experiment.data_dir(data) / f"{name}.csv")
                    for name in ("train", "valid"))  # fmt: skip
    if not len(valid):
        raise UserError(f"{valid.path}: no examples to score")
    return trials.Split(train, valid, trials.spread(valid.rows["snr_db"], files))


def place(args, space: spaces.Space, data: str) -> Path:
    """The folder of a search: ``exp/DATA/tune/NAME[_TAG]``."""
    name = space.name + (f"_{args.tag}" if args.tag else "")
    return experiment.EXPERIMENTS / data / "tune" / name


def begin(args, space: spaces.Space, data: str, split: trials.Split):
    """The study of the search, as far as it has come."""
    from local.tuning import study

    folder = place(args, space, data)
    for model in space.models:
        experiment.experiment_name(model, space.preset, args.tag)
    if args.storage is None:
        folder.mkdir(parents=True, exist_ok=True)
    args.storage = args.storage or f"sqlite:///{folder}/trials.db"
    asked = {
        "models": list(space.models), "preset": space.preset, "settings": space.fixed,
        "space": {of.name: [of.low, of.high, of.log] if of.choices is None else list(of.choices)
                  for of in space.dimensions},
        "seeds": list(space.seeds), "objective": args.objective, "data": data,
        "training manifest": split.train.hash, "validation manifest": split.valid.hash,
        "mixtures": len(split.chosen),
    }  # fmt: skip
    conf = config.read(space.models[0], space.preset, space.fixed)
    return study.Search(space, args.storage, f"{data}/{folder.name}", asked, args.sampler,
                        args.pruner, conf["seed"])  # fmt: skip


def go_on(args, search, split: trials.Split, data: str) -> dict[str, str]:
    """Run trials until the search has come to its end; a line for each.

    Returns:
        name -> why it failed, of those that did.

    Raises:
        UserError: ROW trials one after the other came to nothing.
    """
    import torch

    from local.tuning import outcome, study

    torch.set_num_threads(1)
    failed, row = {}, 0
    limits = study.Limits(args.trials, args.hours)
    while (trial := search.next(limits)) is not None:
        name = outcome.name(search, trial.params)
        try:
            said, good = attempt(args, search, trial, split, data)
        except UserError as error:
            failed[name], said, good = str(error), f"failed: {error}", False
            search.fail(trial, failed[name])
        except BaseException:
            search.fail(trial, "interrupted")
            raise
        print(f"[{search.count()}] {name}: {said}", flush=True)  # hours may lie between two
        row = 0 if good else row + 1
        if row == ROW:
            raise UserError(f"{ROW} trials one after the other came to nothing, the last: {said}")
    return failed


def attempt(args, search, trial, split: trials.Split, data: str) -> tuple[str, bool]:
    """Run one trial and tell the study its result.

    Returns:
        what came out, in a few words, and whether the recipe took the settings.

    Raises:
        UserError: it failed, and the study does not know yet.
    """
    from local.training import pruning
    from local.tuning import outcome

    twin = search.twin(trial)
    if twin is not None:
        return search.repeat(trial, twin), True
    found, of_seeds = [], trials.settings(search.space, trial.params, args.tag, data)
    try:
        separators = [trials.build(of) for of in of_seeds]
    except UserError as error:
        search.refuse(trial, str(error))
        return str(error), False
    sources = OBJECTIVES[args.objective]
    for of, separator in zip(of_seeds, separators, strict=True):
        # the first seed decides whether the others are trained
        environment = {} if found else search.environment(trial, sources)
        try:
            found.append(trials.run(of, separator, split, environment))
        except UserError:
            step = search.pruned_at(trial)
            if step is None:
                raise
            return f"ended early, after {step} of {pruning.STEPS} parts", True
    result = trials.summary(sum(scores for scores, _ in found) / len(found), split)
    values = [result[source] for source in sources]
    trial.set_user_attr(outcome.RESULT, result)
    trial.set_user_attr(outcome.COSTS, found[0][1])
    if None in values:
        raise UserError("no estimate has a SI-SDR")
    search.tell(trial, sum(values) / len(values))
    return outcome.said(result), True


def report(search, split: trials.Split, folder: Path) -> None:
    """Write what came out, and print the table and the best settings."""
    from local.reporting import tables
    from local.tuning import outcome, study

    mixture = trials.summary(trials.scores(None, split), split)
    about = experiment.provenance()
    about["command"] = [study.shown_word(word) for word in about["command"]]
    asked = search.study.user_attrs[study.ASKED]
    outcome.write(folder, search, mixture, {"asked": asked, "provenance": about})
    ended = outcome.ended(search)
    print(tables.text(outcome.table(search, ended, mixture)), end="")
    best = outcome.best(ended)
    if best is not None and search.space.dimensions:
        print(f"\nThe best settings as a preset to paste:\n\n{outcome.preset(search, best)}")
    print(f"{folder}: written")


def evaluate(search, tag: str | None, data: str, device: str) -> dict[str, str]:
    """Stages 1 (where there was nothing to train), 2 and 3 on each trial that came to its end.

    Returns:
        name of the experiment -> why it failed, of those that did.
    """
    complete = [of for of in search.trials if of.state.name == "COMPLETE"]
    found = [setting for of in complete
             for setting in trials.settings(search.space, of.params, tag, data)]  # fmt: skip
    failed = {}
    for number, of in enumerate(found, 1):
        try:
            of.train()
            of.run_stage("evaluate", f"--device={device}")
            of.run_stage("report", f"--device={device}")
            said = "scored on the test split"
        except UserError as error:
            failed[of.experiment.name], said = str(error), "failed"
        print(f"evaluate {number}/{len(found)} {of.experiment.name}: {said}", flush=True)
    return failed


if __name__ == "__main__":
    guard(main, again=CONTINUES)

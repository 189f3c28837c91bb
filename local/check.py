"""Before the first stage: all that can be refused without looking at data.

    python -m local.check --model convtasnet [--preset tiny] [--tag WORD] [--name NAME]
        [--train] [--data DIR] [--metrics LIST] [--find STAGE] [--tune] [--sampler NAME]
        [--optim.lr 3e-4 ...]

run.sh runs it once the packages are there.
"""

import os
import sys

from local.base import config, experiment
from local.base.errors import Parser, UserError, guard
from local.corpus import manifest
from local.tuning import space as spaces


def main() -> None:
    """Refuse in one line what a stage would refuse; with --find, print the data set's name."""
    parser = Parser(prog="python -m local.check", description=__doc__.split("\n")[0])
    experiment.add_arguments(parser)
    parser.add_argument("--train", action="store_true", help="stage 1 is among the stages")
    parser.add_argument("--data", help="the tree that the data set must have been made from")
    parser.add_argument("--metrics", help="which metrics, separated by commas")
    parser.add_argument("--find", type=int, metavar="STAGE",
                        help="print the data set's name, as this first stage finds it")  # fmt: skip
    parser.add_argument("--tune", action="store_true", help="the settings are those of a search")
    parser.add_argument("--sampler", help="of the search")
    own, overrides = config.split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    if args.tune:
        space = spaces.read(args.model, args.preset, overrides)
        for model in space.models:
            experiment.experiment_name(model, args.preset, args.tag)
        if args.sampler == "grid":
            spaces.grid(space)
        spaces.refuse(space)
    else:
        conf = config.read(args.model, args.preset, overrides)
        experiment.experiment_name(args.model, args.preset, args.tag)
    if args.train:
        from local.training import refusals

        refusals.check(conf)
    if args.metrics:
        from local.scoring import metrics

        metrics.choose(args.metrics, rates=(8000, 16000))
    if args.data:
        _check_root(args.data, args.name)
    if args.find is not None:
        made = args.find > 1  # by a stage before
        print(experiment.locate(args).parent.name if made else experiment.locate_data(args))


def _check_root(data: str, name: str) -> None:
    """Whether the data set of a name, where there is one, was made from this folder."""
    folder = experiment.data_dir(name)
    if not (folder / manifest.ROOT_FILE).is_file():
        return
    made = manifest.read_root(folder / manifest.ROOT_FILE)
    # of a corpus's voices and noises alone, root is the tree of their mixtures
    root = (made.get("folders") or {}).get("voices", made["root"])
    if os.path.realpath(root) != os.path.realpath(data):
        raise UserError(
            f"--data {data}: {folder} was prepared from another folder, {root}; if that was"
            f" moved, edit {folder / manifest.ROOT_FILE}, else run stage 0 with another --name"
        )


if __name__ == "__main__":
    guard(main, program="run.sh")

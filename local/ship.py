"""Turn a trained experiment into weights that ship with winnow.

    python -m local.ship exp/DATA/EXPERIMENT --as NAME [--model.KEY VALUE ...]

writes ``recipes/<recipe>/pretrained/NAME.pth``: the experiment's ``best_model.pth`` with its
weights as float16, in half the space. Networks still compute in float32. The effect of the
rounding is measured and printed; if it is too large, nothing is written. ``--model.KEY`` changes
an argument of the network that its weights do not depend on, such as how many estimates it
averages.
"""

import sys
from pathlib import Path

from local import ROOT
from local.base import config, experiment
from local.base.errors import Parser, UserError, guard
from local.base.experiment import Experiment

TOLERANCE_DB = -50.0  # energy of the difference over that of the estimates
SECONDS = 4.0


def main() -> None:
    """Store an experiment's weights in its recipe's folder, at half the size."""
    parser = Parser(prog="python -m local.ship", description=main.__doc__)
    parser.add_argument("experiment", type=Path, help="exp/<data>/<experiment>")
    parser.add_argument("--as", dest="name", required=True, help="what to call the weights")
    own, overrides = config.split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    if Path(args.name).name != args.name or not args.name.isidentifier():
        raise UserError(f"--as expects letters, digits and _, found {args.name!r}")
    path, difference = ship(Experiment(args.experiment).model, args.name, overrides)
    from local.model import separators

    for start in experiment.starts(separators.load(path).infos["provenance"]):
        print(f"started from {start['file']}, SHA-256 {start['sha256'][:12]}: say so in the card")
    size = path.stat().st_size / 1e6
    print(f"{path}: {size:.1f} MB; estimates differ by {difference:.0f} dB from float32's")


def ship(source: Path, name: str, overrides: dict | None = None) -> tuple[Path, float]:
    """Write the weights of a checkpoint as float16 into its recipe's folder.

    Args:
        source: a checkpoint of winnow.
        name: of the file, without ``.pth``.
        overrides: ``model.<key>`` -> value, arguments of the network that are to be others.

    Returns:
        the file, and the energy of the rounding's effect over that of the estimates, in dB.

    Raises:
        UserError: no checkpoint, or one whose estimates do not survive float16; an argument that
            the recipe's network does not have.
    """
    from local.base.disk import replace
    from local.model import checkpoint, separators

    package = checkpoint.read(source)
    recipe = package["winnow"]["recipe"]
    package["model_args"] |= _arguments(recipe, overrides or {})
    exact = package["state_dict"]
    package["state_dict"] = {
        key: value.half() if value.is_floating_point() else value for key, value in exact.items()
    }
    beyond = [key for key, value in package["state_dict"].items() if not value.isfinite().all()]
    if beyond:
        raise UserError(f"{source}: weight {beyond[0]!r} is beyond what float16 can hold")
    target = ROOT / "recipes" / recipe / "pretrained" / f"{name}.pth"
    with replace(target) as temporary:
        checkpoint.write(temporary, package)
        rounded, unrounded = separators.load(temporary), separators.load(temporary)
        unrounded.network.load_state_dict(exact)
        difference = _difference_db(unrounded, rounded)
        if not difference <= TOLERANCE_DB:
            raise UserError(f"{source}: as float16 its estimates change by {difference:.0f} dB,"
                            f" expected {TOLERANCE_DB:.0f} or less")  # fmt: skip
    return target, difference


def _arguments(recipe: str, overrides: dict) -> dict:
    """Arguments of the network that the command line names, checked against the recipe.

    Raises:
        UserError: no such recipe or key; a key of another section, or a value that may not be.
    """
    model = config.read(recipe, None, overrides)["model"]
    keys = [config.match_key(key, config.flatten({"model": model})) for key in overrides]
    return {key.removeprefix("model."): model[key.removeprefix("model.")] for key in keys}


def _difference_db(exact, rounded) -> float:
    """Energy of the difference of two separators' estimates over that of the first's, in dB."""
    import torch

    length = int(SECONDS * exact.sample_rate)
    mix = 0.05 * torch.randn(2, length, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        estimates = exact(mix)
        error = (rounded(mix) - estimates).square().sum() / estimates.square().sum()
    return float(10 * torch.log10(error + 1e-20))


if __name__ == "__main__":
    guard(main)

"""Turn a trained experiment into weights that ship with winnow.

    python -m local.ship exp/DATA/EXPERIMENT --as NAME

writes ``recipes/<recipe>/pretrained/NAME.pth``: the experiment's ``best_model.pth`` with its
weights as float16, which takes half the room. Networks compute in float32 all the same. The
difference that the rounding makes is measured and printed; where it is more than rounding should
make, nothing is written.
"""

from pathlib import Path

from local import ROOT, config
from local.errors import Parser, UserError, guard

TOLERANCE_DB = -50.0  # energy of the difference over that of the estimates
SECONDS = 4.0


def main() -> None:
    """Store an experiment's weights in its recipe's folder, at half the size."""
    parser = Parser(prog="python -m local.ship", description=main.__doc__)
    parser.add_argument("experiment", type=Path, help="exp/<data>/<experiment>")
    parser.add_argument("--as", dest="name", required=True, help="what to call the weights")
    args = parser.parse_args()
    if Path(args.name).name != args.name or not args.name.isidentifier():
        raise UserError(f"--as expects letters, digits and _, found {args.name!r}")
    path, difference = ship(args.experiment / "best_model.pth", args.name)
    size = path.stat().st_size / 1e6
    print(f"{path}: {size:.1f} MB; estimates differ by {difference:.0f} dB from float32's")


def ship(source: Path, name: str) -> tuple[Path, float]:
    """Write the weights of a checkpoint as float16 into its recipe's folder.

    Args:
        source: a checkpoint of winnow.
        name: of the file, without ``.pth``.

    Returns:
        the file, and the energy in dB of what the rounding changes, over that of the estimates.

    Raises:
        UserError: no checkpoint, or one whose estimates do not survive float16.
    """
    import torch

    from local import checkpoint, models
    from local.experiment import replace

    package = checkpoint.read(source)
    recipe = package["winnow"]["recipe"]
    if recipe not in config.recipes():
        raise UserError(f"{source}: there is no recipe {recipe!r} here")
    package["state_dict"] = {
        key: value.half() if value.is_floating_point() else value
        for key, value in package["state_dict"].items()
    }
    target = ROOT / "recipes" / recipe / "pretrained" / f"{name}.pth"
    with replace(target) as temporary:
        torch.save(package, temporary)
        difference = _difference_db(models.load(source), models.load(temporary))
        if not difference <= TOLERANCE_DB:
            raise UserError(f"{source}: as float16 its estimates change by {difference:.0f} dB,"
                            f" expected {TOLERANCE_DB:.0f} or less")  # fmt: skip
    return target, difference


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

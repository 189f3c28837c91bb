"""Separate recordings: the voice and the noise of each, as files or as arrays.

    winnow noisy.wav                    # noisy_voice.wav and noisy_noise.wav
    winnow FOLDER --out DIR             # all recordings below FOLDER, to the same places below DIR
    winnow - <noisy.wav >voice.wav      # standard input to standard output
    winnow noisy.wav --remix 0 -12      # noisy_remix.wav, with the noise 12 dB lower
    winnow --stream                     # live: samples in, samples out, with a small delay
    winnow score FOLDER                 # DNSMOS before and after, and a page (local/score.py)
    winnow export --help                # a model for use without winnow

From Python::

    from local.separate import separate

    estimates = separate(mix, rate)     # {"voice": ..., "noise": ...}, like mix

Heavy imports stand where they are used, so ``winnow --help`` answers at once.
"""

import argparse
import contextlib
import math
import runpy
import signal
import sys
from pathlib import Path

from local import SOURCES
from local.base.command_line import DEVICES, parse_inputs
from local.base.errors import Parser, UserError, guard

ABOVE = ("follow", "noise", "voice")  # as local.model.above has them, which imports torch
LOUDEST = 300  # dB that --remix may raise a source by: float32 ends at 770


def separate(mix, rate: int, model=None, device: str = "auto", above: str = ABOVE[0]) -> dict:
    """Voice and noise of a recording, as the program ``winnow`` estimates them.

    Args:
        mix: numpy array or tensor of a floating type, (time,) or (channel, time), with no more
            channels than samples; each channel is separated by itself.
        rate: Hz, a whole number from 1000 to 768000.
        model: what ``--model`` takes, or, to load it only once, what
            ``local.model.pretrained.open_model`` returned; None: the default model.
        device: auto, cpu, cuda or mps.
        above: whose is what lies above the model's band: noise, voice, or shared out as the octave
            below (follow).

    Returns:
        ``{"voice": ..., "noise": ...}``, each of the kind, shape, type and device of ``mix``, at
        its rate and at the model's level, never clipped.

    Raises:
        UserError: another array, no samples, NaN or infinite samples, an unknown model, device or
            ``above``, a rate out of range.
    """
    import numpy as np
    import torch

    from local.model import pretrained, windows

    rate, tensor = _whole_rate(rate), isinstance(mix, torch.Tensor)
    array = mix.detach() if tensor else _array(mix)
    floating = array.is_floating_point() if tensor else array.dtype.kind == "f"
    _check_shape(tuple(array.shape), floating, array.dtype)
    if above not in ABOVE:
        raise UserError(f"above: expected one of {', '.join(ABOVE)}, found {above!r}")
    if not isinstance(model, torch.nn.Module):
        model = pretrained.open_model(model)
    model.to(pretrained.choose_device(device))
    # torch takes no foreign order of bytes, no negative strides and nothing that is read-only
    rows = array if tensor else torch.from_numpy(array.astype(np.float32, "C"))
    rows = rows.reshape(-1, array.shape[-1]).float().cpu()
    pieces = windows.estimate_finite(
        model, lambda: rows.split(windows.RESAMPLED, -1), rate, way=above
    )
    estimates = torch.cat(list(pieces), -1).reshape(len(SOURCES), *array.shape)
    estimates = estimates.to(mix) if tensor else estimates.numpy().astype(array.dtype)
    return dict(zip(SOURCES, estimates, strict=True))


def _array(mix):
    """``mix`` as numpy has it."""
    import numpy as np

    try:
        return np.asarray(mix)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"expected an array of samples, found {type(mix).__name__} ({error})"
                        ) from None  # fmt: skip


def _whole_rate(rate) -> int:
    from local.base.audio import HIGHEST_RATE, LOWEST_RATE

    with contextlib.suppress(TypeError, ValueError, OverflowError):  # text, NaN, infinity
        if rate == int(rate) and LOWEST_RATE <= rate <= HIGHEST_RATE:
            return int(rate)
    raise UserError(f"expected a rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz, found {rate!r}")


def _check_shape(shape: tuple[int, ...], floating: bool, kind) -> None:
    if not floating or len(shape) not in (1, 2) or 0 in shape:
        raise UserError("expected floating-point samples (time,) or (channel, time), full scale"
                        f" being 1, at least one; found {kind} {shape}")  # fmt: skip
    if len(shape) == 2 and shape[0] > shape[1]:
        raise UserError(f"expected (channel, time), found {shape[0]} channels of {shape[1]}"
                        " samples; soundfile has (time, channel): give mix.T")  # fmt: skip


def main() -> None:
    """Separate what the command line names: the console script ``winnow``."""
    signal.signal(signal.SIGTERM, _terminate)
    guard(_main, "winnow")


def _terminate(number, frame):
    raise SystemExit(128 + number)  # so that temporary files are removed


def _main() -> None:
    if sys.argv[1:2] == ["export"]:
        from local.separation import export

        del sys.argv[1]
        return export.main()
    if sys.argv[1:2] == ["score"]:  # a program of its own, run as `python -m` would
        del sys.argv[1]
        return runpy.run_module("local.score", run_name="__main__", alter_sys=True)
    args = _parse()
    if args.stream:
        from local.separation import stream

        return stream.main(args)
    from local.separation import batch

    raise SystemExit(batch.run(args))


def _parse() -> argparse.Namespace:
    parser = Parser(
        prog="winnow",
        usage="winnow INPUT... [options] | winnow --stream [options]"
        " | winnow score|export [options]",
        description="Separate recordings: noisy.wav gives noisy_voice.wav and noisy_noise.wav.",
        epilog="INPUT: a file, a folder with all below it, a 'pattern', or - for standard input."
        "\nlocal/separation/README.md has examples and says what each option does in detail.",
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, 2, 32, 80),
    )
    add = parser.add_argument
    # one line each, so that the help fits one screen
    # fmt: off
    add("inputs", nargs="*", metavar="INPUT", help=argparse.SUPPRESS)
    add("--model", metavar="NAME[,...]", help="recipe, experiment or file; or several")
    add("--out", type=Path, metavar="DIR", help="of the outputs; default: beside the inputs")
    add("--sources", type=_sources, metavar="LIST", help=f"outputs; default: {','.join(SOURCES)}")
    add("--remix", nargs=2, type=_gain, metavar=("V_DB", "N_DB"),
        help="one output with both, at these levels")
    add("--attenuation-limit", type=_attenuation, metavar="DB",
        help="leave the noise in the voice, DB lower")
    add("--mono", action="store_true", help="separate the mean of the channels")
    add("--format", type=str.upper, metavar="NAME", help="wav, flac, ...; default: the input's")
    add("--subtype", type=str.upper, metavar="NAME", help="PCM_16, ...; default: the input's")
    add("--rate", type=_rate, metavar="HZ", help="of the outputs; default: the input's")
    add("--pcm", type=_pcm, metavar="FORMAT[:RATE[:CHANNELS]]",
        help="samples without a header, as s16le")
    add("--above", default=ABOVE[0], choices=ABOVE, metavar="WAY",
        help="band above the model's: follow, noise or voice")
    add("--device", default="auto", choices=DEVICES, metavar="NAME", help="auto, cpu, cuda or mps")
    add("--overwrite", action="store_true", help="replace existing outputs")
    add("--skip-existing", action="store_true", help="continue an interrupted run")
    add("--stream", action="store_true", help="live, from stdin to stdout")
    # fmt: on
    args = parse_inputs(parser, sys.argv[1:])
    _check(args)
    return args


def _check(args: argparse.Namespace) -> None:
    """Check what argparse cannot.

    Raises:
        UserError: options that exclude each other.
    """
    if args.stream:
        if args.inputs not in ([], ["-"]):
            raise UserError("--stream reads standard input; leave out the INPUT")
        return
    if not args.inputs:
        raise UserError("expected an INPUT: a recording, a folder, or - ; winnow --help says more")
    from_stdin = "-" in args.inputs
    if from_stdin and len(args.inputs) > 1:
        raise UserError("- (standard input) excludes any other INPUT")
    if args.pcm and not from_stdin:
        raise UserError("--pcm is for standard input: the INPUT -, or --stream")
    if args.overwrite and args.skip_existing:
        raise UserError("--overwrite and --skip-existing exclude each other")
    if args.remix and (args.sources or args.attenuation_limit is not None):
        raise UserError("--remix excludes --sources and --attenuation-limit")
    if args.sources is None:
        args.sources = SOURCES[:1] if from_stdin and args.out is None else SOURCES
    elif from_stdin and args.out is None and len(args.sources) > 1:
        raise UserError("standard output takes only one of --sources; --out DIR takes both")
    if from_stdin and args.out is None and sys.stdout.isatty():
        raise UserError("standard output is a terminal: redirect it to a file or a pipe, or give"
                        " --out DIR")  # fmt: skip


def _sources(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if not set(names) <= set(SOURCES):
        raise argparse.ArgumentTypeError(f"expected {' or '.join(SOURCES)}, found {text!r}")
    return tuple(source for source in SOURCES if source in names)


def _decibels(text: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(float(text)):
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number of dB, found {text!r}")


def _gain(text: str) -> float:
    value = _decibels(text)
    if value > LOUDEST:
        raise argparse.ArgumentTypeError(f"expected dB up to {LOUDEST}, found {text!r}")
    return value


def _attenuation(text: str) -> float:
    value = _decibels(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected dB from 0, found {text!r}")
    return value


def _rate(text: str) -> int:
    from local.base.audio import HIGHEST_RATE, LOWEST_RATE

    if not (text.isdecimal() and LOWEST_RATE <= int(text) <= HIGHEST_RATE):
        raise argparse.ArgumentTypeError(
            f"expected {LOWEST_RATE} to {HIGHEST_RATE} Hz, found {text!r}"
        )
    return int(text)


def _pcm(text: str):
    from local.separation.recordings import Pcm

    try:
        return Pcm.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected FORMAT[:RATE[:CHANNELS]] such as s16le:48000:2, found {text!r}"
        ) from None


if __name__ == "__main__":
    main()

"""Recordings separated one after the other, from files to files."""

import argparse
import contextlib
import math
import sys
from pathlib import Path

import numpy as np
import torch
from soundfile import available_formats, available_subtypes
from tqdm import tqdm

from local.base import progress
from local.base.errors import CONTINUES, UserError, nearest
from local.base.names import shown
from local.model import pretrained, windows
from local.model.pretrained import choose_device
from local.separation import outputs, pipes, recordings
from local.separation.outputs import REMIX

CHANNELS = 2  # separated at a time: for recurrent layers, two cost little more than one


def run(args: argparse.Namespace) -> int:
    """Separate what the parsed command line names.

    Returns:
        the exit code: 1 if a recording was skipped (a line says why), else 0.

    Raises:
        UserError: what is wrong before any work.
    """
    suffix = _suffix(args)
    names = [REMIX] if args.remix else list(args.sources)
    rejected, left = {}, []
    planned = outputs.jobs(args.inputs, names, args.out, suffix, rejected.setdefault, left.append)
    todo = outputs.settle(planned, args.overwrite, args.skip_existing)
    for path, reason in rejected.items():
        say(f"{path}: {reason}")
    if left:
        more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
        say(f"{left[0]}{more}: left out, for the name is that of an output of another recording"
            " here; give it alone to separate it")  # fmt: skip
    if len(todo) < len(planned):
        say(f"{len(planned) - len(todo)} of {len(planned)} recordings were separated before")
    if not todo:
        return 1 if rejected else 0
    separator = pretrained.open_model(args.model)
    device = choose_device(args.device)
    separator.to(device)
    say(f"{separator.recipe} ({separator.infos['file']}), {separator.sample_rate} Hz, on {device}")
    failed, cut = len(rejected), 0
    for job in progress.bar(todo, "recordings", unit="files", disable=len(todo) == 1):
        try:
            cut += _process(job, separator, args)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_how_to_go_on(args)) from None
        except BrokenPipeError:
            raise
        except (UserError, OSError, torch.OutOfMemoryError) as error:
            failed += 1
            say(f"{job.source}: {_reason(error)}")
    count = len(todo) + len(rejected)
    if failed and count > 1:
        say(f"{failed} of {count} recordings could not be separated")
    if cut and count > 1:
        say(f"{cut} of {count} recordings were cut off; what is there was separated")
    return 1 if failed or cut else 0


def say(text: str) -> None:
    """One line on standard error, above the progress bars."""
    tqdm.write(f"winnow: {shown(text)}", file=sys.stderr)


def _process(job: outputs.Job, separator, args: argparse.Namespace) -> bool:
    """Separate one recording and write its outputs.

    Returns:
        whether it was cut off.
    """
    raw = args.pcm.options(separator.sample_rate) if args.pcm else None
    with recordings.Recording(job.source, args.mono, raw) as recording:
        form = recordings.Format.of(recording, args.format, args.subtype, args.rate)
        frames = -(-recording.frames * form.rate // recording.rate)
        form.check(recording.channels, frames)
        paths = list(job.outputs.values())
        folder = None if str(paths[0]) == "-" else paths[0].parent
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        matrix = mixing(list(job.outputs), args.remix, args.attenuation_limit)
        with contextlib.ExitStack() as stack:
            with contextlib.nullcontext() if folder else pipes.temporary_room():
                shape = len(paths), recording.channels, frames
                spool = stack.enter_context(recordings.Spool(folder, *shape))
                _fill(spool, recording, separator, form.rate, matrix, args.above)
            gain = 1.0
            if spool.peak > form.limit:
                gain = 1 / spool.peak
                say(f"{job.source}: {20 * math.log10(gain):.2f} dB on all its outputs,"
                    f" which would clip in {form.subtype}")  # fmt: skip
            recordings.write(spool, paths, form, recording.tags, gain)
        for remark in recording.remarks:
            say(f"{job.source}: {remark}")
        return recording.cut


def mixing(names: list[str], remix=None, attenuation_limit: float | None = None) -> np.ndarray:
    """The gains that make each output of the estimates.

    Args:
        names: of the outputs, sources or ``REMIX``.
        remix: dB for each source.
        attenuation_limit: dB by which the noise is lowered in the voice.

    Returns:
        gains (output, source), float32.
    """
    if remix:
        return np.array([[10 ** (decibels / 20) for decibels in remix]], np.float32)
    left = 0.0 if attenuation_limit is None else 10 ** (-attenuation_limit / 20)
    rows = {"voice": (1.0, left), "noise": (0.0, 1.0 - left)}
    return np.array([rows[name] for name in names], np.float32)


def _fill(
    spool: recordings.Spool, recording, separator, rate: int, matrix: np.ndarray, above: str
) -> None:
    _, channels, frames = spool.shape
    name = shown(Path(recording.name).name)
    seconds = round(frames * channels / rate)
    with progress.bar(desc=name, total=seconds, unit="s", leave=False) as bar:
        for first in range(0, channels, CHANNELS):
            group, at = slice(first, first + CHANNELS), 0
            mix = _opener(recording, group)
            for estimates in windows.estimate_finite(separator, mix, recording.rate, rate, above):
                made = np.tensordot(matrix, estimates.numpy(), 1)
                spool.write(made, first, at)
                at += made.shape[-1]
                bar.update(round(at * made.shape[1] / rate) + round(first * frames / rate)
                           - bar.n)  # fmt: skip


def _opener(recording, group: slice):
    return lambda: recording.blocks(group)


def _suffix(args: argparse.Namespace) -> str | None:
    """That of the outputs, where the command line decides it."""
    _check_known("--format", args.format, available_formats())
    _check_known("--subtype", args.subtype, available_subtypes())
    if args.format is None:
        return {"-": ".raw" if args.pcm else ".wav"}.get(args.inputs[0])
    return f".{args.format.lower()}"


def _check_known(option: str, name: str | None, names: dict) -> None:
    if name is not None and name not in names:
        raise UserError(f"unknown {option} {name.lower()!r}{nearest(name, names).lower()}")


def _how_to_go_on(args: argparse.Namespace) -> str:
    if args.skip_existing:
        return CONTINUES
    if args.overwrite or "-" in args.inputs:
        return "the same command starts again"
    return f"{CONTINUES} with --skip-existing"


def _reason(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "does not fit into the memory of the device; try --device cpu"
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"cannot be written ({error.strerror or error}{where})"
    return str(error)

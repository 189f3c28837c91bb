"""Samples without a header, from standard input to standard output as they arrive.

    arecord -t raw -f S16_LE -r 16000 | winnow --stream | aplay -t raw -f S16_LE -r 16000

Output sample n belongs to input sample n, and there are as many. It leaves once the model has its
look-ahead.
"""

import argparse
import io
import math
import os
import sys
import time
from typing import BinaryIO

import numpy as np
import soundfile
import torch

from local import SOURCES
from local.base import audio
from local.base.audio import HIGHEST_RATE, LOWEST_RATE
from local.base.errors import UserError
from local.base.names import shown
from local.model import pretrained
from local.model.above import WAYS
from local.model.pretrained import choose_device
from local.separation.live_rates import live_at
from local.separation.recordings import Pcm

MOST_CHANNELS = 1024  # libsndfile's
PIECE = 2**16  # bytes to read at a time, at most; a pipe gives what it has
OF_FILES = ("out", "remix", "attenuation_limit", "mono", "format", "subtype", "rate", "overwrite",
            "skip_existing")  # fmt: skip
"""Options that a stream does not use."""


def main(args: argparse.Namespace) -> None:
    """``winnow --stream``: the model of ``--model``, or the one for live use that ships.

    Raises:
        UserError: see ``run``; an option that is for files.
    """
    for name in OF_FILES:
        given = getattr(args, name)
        if given is not None and given is not False:  # 0 is given
            raise UserError(f"--{name.replace('_', '-')} is for recordings, not for --stream")
    if sys.stdin is None:
        raise UserError("standard input is closed")
    if sys.stdin.isatty() or sys.stdout.isatty():
        raise UserError("--stream is from a pipe or file to a pipe or file, not for a terminal")
    torch.set_num_threads(1)  # a step is too small for several threads
    separator = pretrained.open_model(args.model or pretrained.default("live"), "--stream")
    separator.to(choose_device("cpu" if args.device == "auto" else args.device))
    say(f"{separator.recipe}, {separator.infos['file']}")
    try:
        run(
            separator, sys.stdin.buffer, sys.stdout.buffer,
            args.pcm or Pcm(), args.sources or SOURCES[:1], args.above,
        )  # fmt: skip
    except BrokenPipeError:
        # otherwise Python complains again when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UserError("standard output was closed before the end of the input") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def run(
    separator, source: BinaryIO, sink: BinaryIO, pcm: Pcm, sources=SOURCES[:1], above=WAYS[0]
) -> None:
    """Separate ``source`` until its end, and report the time.

    Args:
        separator: in eval mode, of a network that can run live.
        source: a buffered reader of samples in the format ``pcm``, channels interleaved.
        sink: takes samples of the same format: the channels of the first of ``sources``, then
            those of the next, interleaved. Integers are clipped at full scale.
        pcm: of both; its rate is the separator's where it is None.
        sources: of ``SOURCES``.
        above: whose is what lies above the model's band, see ``local.model.above``.

    Raises:
        UserError: the network cannot run live, a rate or a number of channels out of range, a wav
            file, samples that are not finite.
    """
    rate = pcm.rate or separator.sample_rate
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(f"--pcm: expected {LOWEST_RATE} to {HIGHEST_RATE} Hz, found {rate} Hz")
    if pcm.channels * len(sources) > MOST_CHANNELS:
        raise UserError(f"--pcm: expected at most {MOST_CHANNELS} channels, those of each of"
                        f" --sources, found {pcm.channels} for each")  # fmt: skip
    live = live_at(separator, pcm.channels, rate, above)
    say(f"latency: at most {1000 * live.latency / rate:.0f} ms plus computing")
    rows = [SOURCES.index(name) for name in sources]
    received, peak, busy, rest = 0, 0.0, 0.0, b""
    try:
        while True:
            data = source.read1(PIECE)
            start = time.perf_counter()
            rest += data
            if not received and rest.startswith(b"RIFF"):
                raise UserError("standard input is a wav file, and --stream takes samples without"
                                " a header: leave out --stream, and give the INPUT -")  # fmt: skip
            whole = len(rest) - len(rest) % pcm.frame_size if data else 0
            samples, rest = decoded(rest[:whole], pcm, rate), rest[whole:]
            received += samples.shape[1]
            estimates = (live.push(samples) if data else live.finish())[:, rows]
            peak = max(peak, estimates.abs().max().item()) if estimates.numel() else peak
            out = encoded(estimates, pcm, rate)
            busy += time.perf_counter() - start
            sink.write(out)
            sink.flush()
            if not data:
                break
        if rest:
            say(f"the last {len(rest)} bytes are not a whole sample of {pcm.name}; left out")
    finally:
        if peak > 1 and pcm.name != "f32le":
            say(f"clipped: the loudest sample was {20 * math.log10(peak):.1f} dB above full scale;"
                " --pcm f32le keeps it")  # fmt: skip
        if received:
            seconds = received / rate
            say(f"real-time factor {busy / seconds:.3f} ({busy:.1f} s for {seconds:.1f} s)")


def decoded(data: bytes, pcm: Pcm, rate: int) -> torch.Tensor:
    """Whole samples of a format -> float32 (channel, time).

    Raises:
        UserError: not finite.
    """
    if not data:
        return torch.zeros(pcm.channels, 0)
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True,
                                **pcm.options(rate))  # fmt: skip
    if not np.isfinite(samples).all():
        raise UserError("standard input holds samples that are not finite; is --pcm right?")
    return torch.from_numpy(samples.T)


def encoded(estimates: torch.Tensor, pcm: Pcm, rate: int) -> bytes:
    """(channel, source, time) -> samples of a format: all channels of a source, then the next."""
    samples = estimates.transpose(0, 1).flatten(0, 1).T.cpu().numpy()
    form = pcm.options(rate)
    if form["subtype"] in audio.BITS:
        samples = audio.quantise(samples, audio.BITS[form["subtype"]])
    file = io.BytesIO()
    soundfile.write(file, samples, rate, form["subtype"], form["endian"], form["format"])
    return file.getvalue()


def say(text: str) -> None:
    """One line on standard error, for people."""
    print(f"winnow: {shown(text)}", file=sys.stderr, flush=True)

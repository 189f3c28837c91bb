"""Recordings of any length in pieces, as if separated whole.

A stream is an iterator of consecutive float32 tensors (channel, time). What must see beyond a
piece (a network, the resampling filter) gets context on both sides, and its output for the context
is dropped. Memory does not grow with the length of a recording.
"""

from collections.abc import Callable, Iterable, Iterator

import torch

from local import SOURCES
from local.base import audio
from local.base.errors import UserError

UNIT = 2**13 * 5  # samples, 2.56 s at 16 kHz: windows start on its multiples, which every usual hop
# divides, so that a network's frames lie where they lie in the whole recording
BODY, CONTEXT = 16, 1  # units of a window that are used, and on each side of them
FADE = 1600  # samples, 0.1 s at 16 kHz, over which one window passes into the next
RESAMPLED = 2**18  # samples, at least, that are resampled at once


def separated(
    separator, mix: Callable[[], Iterable[torch.Tensor]], rate: int, rate_out: int | None = None
) -> Iterator[torch.Tensor]:
    """Estimates of a stream, at the level that the model gives them.

    The network takes a recording of up to 17 units (44 s at 16 kHz) whole, a longer one in
    windows; that is an eighth more to compute.

    A model hears nothing above half its sample rate. If its estimates sum to the mixture, what it
    does not hear goes to the noise, so they sum to the recording at any rate.

    Args:
        separator: a ``local.model.separators.Separator`` in eval mode, not an oracle.
        mix: a function that opens the stream at ``rate``; called twice where rates differ.
        rate: Hz.
        rate_out: Hz, of the estimates; None: ``rate``.

    Yields:
        (source, channel, time) at ``rate_out``, on the CPU; in all as long as the mixture, and at
        another rate ceil(time * rate_out / rate).

    Raises:
        UserError: samples or estimates that are not finite.
    """
    rate_out = rate_out or rate
    model_rate = separator.sample_rate
    heard = resampled(_checked(mix(), rate), rate, model_rate)
    estimates = resampled(_through(separator, heard), model_rate, rate_out)
    if rate == rate_out == model_rate:
        yield from estimates
        return
    consistent = separator.consistency != "none"
    recorded = resampled(mix(), rate, rate_out)
    for estimate, of_mix in _in_step(estimates, recorded):
        if consistent:
            estimate[SOURCES.index("noise")] += of_mix - estimate.sum(0)
        yield estimate


def resampled(blocks: Iterable[torch.Tensor], rate: int, rate_out: int) -> Iterator[torch.Tensor]:
    """A stream (..., time) at another sample rate, sample by sample as ``audio.resample`` has it.

    Args:
        blocks: at ``rate``.
        rate, rate_out: Hz.
    """
    if rate == rate_out:
        return iter(blocks)
    down, up = audio.lowest_terms(rate, rate_out)
    # windows start where samples of both rates coincide
    context = -(-audio.reach(rate, rate_out) // down) * down
    body = -(-RESAMPLED // down) * down
    return windowed(
        blocks, lambda x: audio.resample(x, rate, rate_out), body, context, scale=(up, down)
    )


def windowed(
    blocks: Iterable[torch.Tensor],
    process: Callable[[torch.Tensor], torch.Tensor],
    body: int,
    context: int,
    fade: int = 0,
    scale: tuple[int, int] = (1, 1),
) -> Iterator[torch.Tensor]:
    """Apply ``process`` to a stream, window by window.

    Windows start ``context`` before the multiples of ``body``. All but the last give their body;
    around the seams, one fades linearly into the next.

    Args:
        blocks: (..., time).
        process: (..., time) -> (..., ceil(time * scale)), leading dimensions its own.
        body: samples; a multiple of the scale's denominator, as ``context`` is.
        context: samples on both sides; there is none beyond the ends of the recording.
        fade: samples of the output around a seam, at most twice the context.
        scale: by which ``process`` changes the length, in lowest terms.

    Yields:
        (..., time), in all as long as ``process`` would make the whole.
    """
    up, down = scale
    held, origin, seam, before = None, 0, 0, None  # held: the samples from ``origin`` on

    def process_to(stop: int | None) -> torch.Tensor:
        """The output after the last seam, with the fade into it."""
        out = process(held[..., : None if stop is None else stop - origin])
        at = (seam - origin) * up // down
        if before is None:
            return out[..., at:]
        out = out[..., at - fade // 2 :]
        rise = (torch.arange(before.shape[-1], device=out.device) + 0.5) / max(1, before.shape[-1])
        head = out[..., : before.shape[-1]]
        head += (before[..., : head.shape[-1]] - head) * (1 - rise[: head.shape[-1]])
        return out

    for block in blocks:
        held = block if held is None else torch.cat((held, block), -1)
        while origin + held.shape[-1] - seam > body + context:
            out = process_to(seam + body + context)
            given = body * up // down + (fade // 2 if before is not None else 0) - fade // 2
            yield out[..., :given]
            before = out[..., given : given + fade // 2 * 2].clone()
            seam += body
            start = max(0, seam - context)
            held, origin = held[..., start - origin :].clone(), start
    if held is not None:
        yield process_to(None)


def _through(separator, blocks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """(channel, time) at the model's rate -> (source, channel, time)."""
    state = next(iter(separator.network.state_dict().values()), torch.zeros(0))

    def run(mix):
        with torch.inference_mode():
            estimates = separator(mix.to(state.device)).transpose(0, 1).float().cpu()
        if not estimates.isfinite().all():
            raise UserError(f"{separator.recipe} gives samples that are not finite")
        return estimates.clone()

    unit = UNIT * -(-separator.sample_rate // 16000)
    return windowed(blocks, run, BODY * unit, CONTEXT * unit, FADE)


def _checked(blocks: Iterable[torch.Tensor], rate: int) -> Iterator[torch.Tensor]:
    position = 0
    for block in blocks:
        wrong = ~block.isfinite().all(0)
        if wrong.any():
            at = (position + int(wrong.nonzero()[0])) / rate
            raise UserError(f"holds samples that are NaN or infinite, the first at {at:.3f} s")
        position += block.shape[-1]
        yield block


def _in_step(one: Iterable[torch.Tensor], other: Iterable[torch.Tensor]):
    """Pairs of equally long pieces (..., time) of two streams, up to the end of the second.

    The first may be a little longer: each change of the sample rate rounds its length up.
    """
    one, held = iter(one), None
    for piece in other:
        while held is None or held.shape[-1] < piece.shape[-1]:
            more = next(one)
            held = more if held is None else torch.cat((held, more), -1)
        yield held[..., : piece.shape[-1]], piece
        held = held[..., piece.shape[-1] :]

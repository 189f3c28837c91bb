"""A separator applied to recordings of any length and rate: what is scored, heard and written.

Stages 2 to 4 and ``winnow`` all take this path; ``local.separation.live`` is the other one.

A stream is an iterator of consecutive float32 tensors (..., time). What must see beyond a
piece (a network, the resampling filter) gets context on both sides, and its output for the context
is dropped. Memory does not grow with the length of a recording.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from local.base import audio
from local.base.errors import UserError
from local.model import above

UNIT = 2**13 * 5  # samples, 2.56 s at 16 kHz: windows start on its multiples, which every usual hop
# divides, so that a network's frames lie where they lie in the whole recording
BODY, CONTEXT = 16, 1  # units of a window that are used, and on each side of them
FADE = 1600  # samples, 0.1 s at 16 kHz, over which one window passes into the next
RESAMPLED = 2**18  # samples, at least, that are resampled at once


def estimate(separator, mix, rate: int, sources=None, way: str = above.WAYS[0]) -> np.ndarray:
    """Estimates of one recording in memory, as ``estimate_stream`` makes them.

    Args:
        separator: a ``local.model.separators.Separator`` in eval mode.
        mix: (time,) samples at ``rate``, from 1 on.
        rate: Hz.
        sources: (source, time) at ``rate``, the references; an oracle is given them.
        way: whose is what lies above the model's band, see ``local.model.above``.

    Returns:
        (source, time) float32 at ``rate``, as long as ``mix``, never rescaled; not finite where
        the separator's estimates are not.

    Raises:
        UserError: an oracle without references.
    """
    sources = None if sources is None else sources[None]
    return estimate_batch(separator, mix[None], rate, sources, way)[0]


def estimate_batch(
    separator, mixes, rate: int, sources=None, way: str = above.WAYS[0]
) -> np.ndarray:
    """``estimate`` of several recordings of one length, computed at once.

    Args:
        separator, rate, way: see ``estimate``.
        mixes: (recording, time).
        sources: (recording, source, time); an oracle is given them.

    Returns:
        (recording, source, time).
    """
    signals = torch.as_tensor(np.ascontiguousarray(mixes), dtype=torch.float32)
    if separator.needs_sources and sources is not None:
        references = torch.as_tensor(np.ascontiguousarray(sources), dtype=torch.float32)
        signals = torch.stack((signals, *references.transpose(0, 1)))
    stream = estimate_stream(separator, lambda: signals.split(RESAMPLED, -1), rate, way=way)
    return torch.cat(list(stream), -1).transpose(0, 1).numpy()


def estimate_stream(
    separator,
    mix: Callable[[], Iterable[torch.Tensor]],
    rate: int,
    rate_out: int | None = None,
    way: str = above.WAYS[0],
) -> Iterator[torch.Tensor]:
    """Estimates of a stream, at the level that the model gives them.

    The network takes a recording of up to 17 units (44 s at 16 kHz) whole, a longer one in
    windows; that is an eighth more to compute.

    A model hears nothing above half its sample rate; what lies there is shared out. If the
    estimates sum to the mixture, they sum to the recording at any rate.

    Args:
        separator: a ``local.model.separators.Separator`` in eval mode.
        mix: a function that opens the stream (channel, time) at ``rate``, for an oracle
            (1 + source, channel, time), the mixture and its references; called twice where rates
            differ.
        rate: Hz.
        rate_out: Hz, of the estimates; None: ``rate``.
        way: whose is what lies above the model's band, see ``local.model.above``.

    Yields:
        (source, channel, time) at ``rate_out``, on the CPU; in all as long as the mixture, and at
        another rate ceil(time * rate_out / rate).
    """
    rate_out = rate_out or rate
    model_rate = separator.sample_rate
    consistent, wide = separator.consistency != "none", rate > model_rate
    shared = above.Above(way if wide else "noise", consistent) if wide or consistent else None
    resample = getattr(separator.network, "resample", audio.resample)
    heard = resampled(mix(), rate, model_rate, resample)
    estimates = resampled(_through(separator, heard, shared), model_rate, rate_out, resample)
    if rate == rate_out == model_rate:
        yield from estimates
        return
    recorded = resampled((_parted(block)[0] for block in mix()), rate, rate_out)
    for rows, of_mix in _in_step(estimates, recorded):
        yield shared.settled(rows, of_mix) if shared else rows


def estimate_finite(
    separator,
    mix: Callable[[], Iterable[torch.Tensor]],
    rate: int,
    rate_out: int | None = None,
    way: str = above.WAYS[0],
) -> Iterator[torch.Tensor]:
    """``estimate_stream``, up to the first sample that is not finite.

    Raises:
        UserError: samples or estimates that are not finite.
    """
    stream = estimate_stream(separator, lambda: checked(mix(), rate), rate, rate_out, way)
    for estimates in stream:
        if not estimates.isfinite().all():
            raise UserError(f"{separator.recipe} gives NaN or infinite samples")
        yield estimates


def checked(blocks: Iterable[torch.Tensor], rate: int) -> Iterator[torch.Tensor]:
    """A stream (channel, time), up to the first sample that is not finite.

    Raises:
        UserError: it holds such a sample; the line says where.
    """
    position = 0
    for block in blocks:
        wrong = ~block.isfinite().all(0)
        if wrong.any():
            at = (position + int(wrong.nonzero()[0])) / rate
            raise UserError(f"holds samples that are NaN or infinite, the first at {at:.3f} s")
        position += block.shape[-1]
        yield block


def resampled(
    blocks: Iterable[torch.Tensor], rate: int, rate_out: int, resample=audio.resample
) -> Iterator[torch.Tensor]:
    """A stream (..., time) at another sample rate, sample by sample as ``resample`` has it.

    Args:
        blocks: at ``rate``.
        rate, rate_out: Hz.
        resample: like ``audio.resample``, of which no sample depends on others beyond its reach.
    """
    if rate == rate_out:
        return iter(blocks)
    down, up = audio.lowest_terms(rate, rate_out)
    # windows start where samples of both rates coincide
    context = -(-audio.reach(rate, rate_out) // down) * down
    body = -(-RESAMPLED // down) * down
    return windowed(blocks, lambda x: resample(x, rate, rate_out), body, context, scale=(up, down))


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


def _parted(signals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The mixture (channel, time) of a stream's piece, and the references of an oracle."""
    return (signals, None) if signals.dim() == 2 else (signals[0], signals[1:])


def _through(separator, blocks: Iterable[torch.Tensor], shared) -> Iterator[torch.Tensor]:
    """What ``estimate_stream`` is given, at the model's rate -> (source, channel, time), or the
    rows of ``shared`` where it is an ``Above``."""
    state = next(iter(separator.network.state_dict().values()), torch.zeros(0))

    def run(signals):
        mix, references = _parted(signals.to(state.device))
        with torch.inference_mode():
            sources = None if references is None else references.transpose(0, 1)
            estimates = separator(mix, sources).transpose(0, 1).float()
            if shared:
                estimates = shared.rows(mix, estimates, separator.sample_rate)
        return estimates.cpu().clone()

    unit = UNIT * -(-separator.sample_rate // 16000)
    return windowed(blocks, run, BODY * unit, CONTEXT * unit, FADE)


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

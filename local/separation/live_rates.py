"""Live separation at any sample rate: resampled to the model's and back, piece by piece.

From Python::

    from local.model.pretrained import open_model
    from local.separation.live_rates import live_at

    live = live_at(open_model("lstm_complex"), rate=48000)  # push and finish as ``Live`` has them
"""

import math
from collections.abc import Callable

import torch

from local.base import audio
from local.base.errors import UserError
from local.model import above
from local.model.separators import Separator
from local.separation.live import Live


def live_at(separator: Separator, channels: int = 1, rate: int | None = None, way=above.WAYS[0]):
    """Live separation at a rate: ``Live`` at the model's own, else ``LiveAtRate``.

    Args:
        separator: in eval mode.
        channels: each is separated by itself.
        rate: Hz; None: the model's.
        way: whose is what lies above the model's band, see ``local.model.above``.

    Raises:
        UserError: the network cannot run live; a rate whose resampling needs too large a table.
    """
    if rate in (None, separator.sample_rate):
        return Live(separator, channels)
    return LiveAtRate(separator, channels, rate, way)


class LiveAtRate:
    """``Live`` for samples at another rate than the model's.

    All outputs together equal ``local.model.windows.estimate`` of a recording that it takes whole.

    Args:
        separator, channels, rate, way: see ``live_at``.

    Attributes:
        latency: samples at ``rate``, at most, from a sample (itself counted) to the one with which
            its estimates come out.
    """

    def __init__(self, separator: Separator, channels: int, rate: int, way: str):
        own = separator.sample_rate
        self._live = Live(separator, channels)
        consistent, wide = separator.consistency != "none", rate > own
        shares = wide or consistent
        self._shared = above.Above(way if wide else "noise", consistent) if shares else None
        resample = getattr(separator.network, "resample", audio.resample)
        self._down, self._up = _resampling(rate, own, resample), _resampling(own, rate, resample)
        look = above.reach(own) if wide and way == "follow" else 0
        self._rows = Pieces(self._make_rows, above.block(own), look, look)
        self._rate = own
        like = next(separator.network.parameters(), torch.zeros(0))  # a tool has none
        self._recorded = like.new_zeros(channels, 0)  # input whose estimates have not come out
        self._heard = like.new_zeros(channels, 0)  # the same at the model's rate
        inner = self._live.latency + look + self._up.latency
        self.latency = self._down.latency + math.ceil(inner * rate / own)
        self.push(self._recorded)  # no samples: all pieces learn their shapes

    @torch.inference_mode()
    def push(self, samples: torch.Tensor) -> torch.Tensor:
        """(channel, time), of any length -> (channel, source, time): what is ready."""
        samples = samples.to(self._recorded)
        self._recorded = torch.cat((self._recorded, samples), 1)
        heard = self._down.push(samples)
        self._heard = torch.cat((self._heard, heard), 1)
        return self._settled(
            self._up.push(self._rows.push(self._with_heard(self._live.push(heard))))
        )

    @torch.inference_mode()
    def finish(self) -> torch.Tensor:
        """(channel, source, time): the remaining samples, at the end of the input."""
        heard = self._down.finish()
        self._heard = torch.cat((self._heard, heard), 1)
        estimates = torch.cat((self._live.push(heard), self._live.finish()), -1)
        rows = (self._rows.push(self._with_heard(estimates)), self._rows.finish())
        return self._settled(torch.cat((self._up.push(torch.cat(rows, -1)), self._up.finish()), -1))

    def _with_heard(self, estimates: torch.Tensor) -> torch.Tensor:
        """(channel, source, time) -> (1 + source, channel, time), what was heard in front."""
        time = estimates.shape[-1]
        heard, self._heard = self._heard[:, :time], self._heard[:, time:]
        return torch.cat((heard.unsqueeze(0), estimates.transpose(0, 1)))

    def _make_rows(self, signals: torch.Tensor) -> torch.Tensor:
        if self._shared is None:
            return signals[1:]
        return self._shared.rows(signals[0], signals[1:], self._rate)

    def _settled(self, rows: torch.Tensor) -> torch.Tensor:
        """(row, channel, time) at our rate -> (channel, source, time)."""
        time = min(rows.shape[-1], self._recorded.shape[-1])  # rates round lengths up
        recorded, self._recorded = self._recorded[:, :time], self._recorded[:, time:]
        rows = rows[..., :time]
        if self._shared is not None:
            rows = self._shared.settled(rows, recorded)
        return rows.transpose(0, 1)


class Pieces:
    """What depends on some samples on both sides, applied to a stream as it comes.

    Args:
        process: (..., time) -> (..., ceil(time * scale)), leading dimensions its own; of a piece
            that starts on a multiple of ``step`` it makes what it makes of the whole.
        step: samples; a multiple of the scale's denominator.
        before, after: samples on which an output depends at most; there is none beyond the ends.
        scale: by which ``process`` changes the length, in lowest terms.

    Attributes:
        latency: samples of the input, at most, by which an output waits for others.
    """

    def __init__(self, process: Callable, step: int, before: int, after: int, scale=(1, 1)):
        self._process, self._step, self._before, self._after = process, step, before, after
        self._up, self._per = scale
        self._held, self._origin, self._done = None, 0, 0  # held: the samples from ``origin`` on
        self.latency = after + self._per - 1

    def push(self, samples: torch.Tensor) -> torch.Tensor:
        """The next samples (..., time) -> the outputs that are ready; often none."""
        self._held = samples if self._held is None else torch.cat((self._held, samples), -1)
        end = self._origin + self._held.shape[-1] - self._after
        end = max(self._done, end - end % self._per)
        out = self._outputs(end)
        self._done = end
        start = max(0, end - self._before) // self._step * self._step
        self._held, self._origin = self._held[..., start - self._origin :], start
        return out

    def finish(self) -> torch.Tensor:
        """The outputs for the samples that are left, at the end of the input."""
        return self._outputs(self._origin + self._held.shape[-1])

    def _outputs(self, end: int) -> torch.Tensor:
        """Those for the samples from the last ones up to ``end``."""
        if end == self._done:  # of the right shape, with no time
            return self._process(self._held.new_zeros(*self._held.shape[:-1], self._step))[..., :0]
        at, to = (-(-(x - self._origin) * self._up // self._per) for x in (self._done, end))
        return self._process(self._held)[..., at:to]


def _resampling(rate: int, rate_out: int, resample: Callable) -> Pieces:
    """``resample``, which is like ``audio.resample``, in pieces.

    Raises:
        UserError: the filter has too many phases.
    """
    per, up = audio.lowest_terms(rate, rate_out)
    reach = audio.reach(rate, rate_out)
    if up * (2 * reach + per) > audio.LARGEST_TABLE:
        raise UserError(f"{rate} Hz to {rate_out} Hz takes too large a filter for live use:"
                        " resample before and after (sox, ffmpeg)")  # fmt: skip
    return Pieces(lambda x: resample(x, rate, rate_out), per, reach, reach, (up, per))

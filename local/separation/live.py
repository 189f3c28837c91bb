"""Live separation: samples in, samples out, a block at a time.

Beside ``forward``, a network that can run live has, found by name:

- ``block``: samples that a step takes and gives;
- ``latency``: samples by which the output of a step lags its input; None or missing: the network
  cannot run live;
- ``start(batch) -> state``, a tuple, of tensors where the network is one of torch;
- ``step(block: (batch, block), state) -> (estimates (batch, source, block), state)``;
- ``finish(state) -> (batch, source, latency)``: the estimates of the last samples.

From Python::

    from local.separation.live import Live
    from local.model.pretrained import open_model

    live = Live(open_model("lstm_complex"))
    for samples in pieces:              # (channel, time), of any length
        estimates = live.push(samples)  # (channel, source, time), what is ready
    estimates = live.finish()           # the rest
"""

import torch
from torch.nn import functional as F

from local import SOURCES
from local.base.errors import UserError
from local.model.separators import Separator


class Live:
    """A separator that gets a recording piece by piece.

    All outputs together equal the separation of the whole recording, sample by sample: late, but
    with nothing added in front.

    Args:
        separator: in eval mode.
        channels: each is separated by itself.

    Attributes:
        latency: samples, at most, from a sample (itself counted) to the one with which its
            estimates come out.

    Raises:
        UserError: the network cannot run live.
    """

    def __init__(self, separator: Separator, channels: int = 1):
        network = separator.network
        lag = getattr(network, "latency", None)
        if lag is None:
            raise UserError(f"{separator.recipe} cannot run live: it looks ahead without limit, or"
                            " has no steps; choose another with --model")  # fmt: skip
        self.latency = lag + network.block
        self._separator, self._network = separator, network
        with torch.inference_mode():
            self._state = network.start(channels)
        zeros = next(network.parameters(), torch.zeros(0)).new_zeros
        self._waiting = zeros(channels, 0)  # input, less than a block
        self._mix = zeros(channels, lag)  # input that the next output belongs to
        self._early = lag  # samples of output that come before the first of the input
        self._pending = 0  # samples in, not yet out

    @torch.inference_mode()
    def push(self, samples: torch.Tensor) -> torch.Tensor:
        """Take the next samples.

        Args:
            samples: (channel, time), of any length, at the separator's sample rate.

        Returns:
            (channel, source, time): what is ready, in the order of ``SOURCES``; often nothing.
        """
        samples = torch.cat((self._waiting, samples.to(self._waiting)), 1)
        self._pending += samples.shape[1] - self._waiting.shape[1]
        whole = samples.shape[1] - samples.shape[1] % self._network.block
        self._waiting = samples[:, whole:]
        return self._settled(samples[:, :whole], self._stepped(samples[:, :whole]))

    @torch.inference_mode()
    def finish(self) -> torch.Tensor:
        """(channel, source, time): the remaining samples, at the end of the input."""
        left = self._pending
        mix = F.pad(self._waiting, (0, -self._waiting.shape[1] % self._network.block))
        estimates = torch.cat((self._stepped(mix), self._network.finish(self._state)), -1)
        mix = F.pad(mix, (0, self._mix.shape[1]))
        return self._settled(mix, estimates)[..., :left]

    def _stepped(self, samples: torch.Tensor) -> torch.Tensor:
        """(channel, time), of whole blocks -> (channel, source, time), which lags."""
        out = samples.new_zeros(len(samples), len(SOURCES), samples.shape[1])
        block = self._network.block
        for start in range(0, samples.shape[1], block):
            piece = slice(start, start + block)
            out[..., piece], self._state = self._network.step(samples[:, piece], self._state)
        return out

    def _settled(self, samples: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        """The estimates in order and consistent, without what precedes the first sample."""
        time = samples.shape[1]
        mix = torch.cat((self._mix, samples), 1)
        self._mix = mix[:, time:]
        out = self._separator.settled(mix[:, :time], estimates)[..., self._early :]
        self._early = max(0, self._early - time)
        self._pending -= out.shape[-1]
        return out

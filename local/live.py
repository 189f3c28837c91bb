"""Separation of a recording that goes on: samples in, samples out, a block at a time.

A network that can run live has, beside ``forward``, and looked for by name:

- ``block``: samples that a step takes and gives;
- ``latency``: samples by which the output of a step lags its input; None, or no such attribute,
  where the network cannot run live;
- ``start(batch) -> state``, a tuple of tensors;
- ``step(block (batch, block), state) -> (estimates (batch, source, block), state)``;
- ``finish(state) -> (batch, source, latency)``: the estimates of the last samples.

From Python::

    live = Live(separator)
    while ...:
        estimates = live.push(samples)  # any number of samples in, what is ready out
    estimates = live.finish()
"""

import os
import sys
import time
from typing import BinaryIO

import numpy as np
import torch

from local import SOURCES
from local.errors import UserError
from local.models import Separator, make_consistent

FORMATS = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
"""Formats of raw samples, by the names that ffmpeg gives them."""
PIECE = 1 << 16  # bytes asked for at a time; a pipe gives what it has


class Live:
    """A separator that is fed a recording piece by piece.

    What comes out in all is what the separator makes of the whole recording, as many samples as
    went in, sample by sample in its place: nothing is put before them. A sample comes out at the
    latest when the ``latency`` samples after it have gone in.

    Args:
        separator: in eval mode, of a network that can run live.
        channels: separated each by itself.

    Raises:
        UserError: the network cannot run live.
    """

    def __init__(self, separator: Separator, channels: int = 1):
        network = separator.network
        if getattr(network, "latency", None) is None:
            raise UserError(
                f"{separator.recipe} cannot run live: it is not causal, or not made for it"
            )
        self.separator, self.network = separator, network
        self.device = next(network.parameters()).device
        with torch.inference_mode():
            self._state = network.start(channels)
        self._waiting = torch.zeros(channels, 0, device=self.device)
        self._mix = torch.zeros(channels, network.latency, device=self.device)
        self._early = network.latency  # samples of output that are before the first of the input
        self._pending = 0  # samples that went in and did not come out

    @property
    def latency(self) -> int:
        """Samples that must follow one, at most, before it comes out."""
        return self.network.latency + self.network.block - 1

    @torch.inference_mode()
    def push(self, samples: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Take the next samples.

        Args:
            samples: (channel, time) float, of any length, at the separator's sample rate.

        Returns:
            (channel, source, time), as much as is ready, in the order of ``SOURCES``.
        """
        samples = torch.as_tensor(samples, dtype=torch.float32, device=self.device)
        self._pending += samples.shape[1]
        samples = torch.cat((self._waiting, samples), 1)
        ready = samples.shape[1] - samples.shape[1] % self.network.block
        self._waiting = samples[:, ready:]
        return self._kept(self._stepped(samples[:, :ready]), samples[:, :ready])

    @torch.inference_mode()
    def finish(self) -> torch.Tensor:
        """(channel, source, time): what is still to come of the samples that went in."""
        rest = self._pending
        if not rest:
            return self._mix.new_zeros(len(self._mix), len(SOURCES), 0)
        padding = -self._waiting.shape[1] % self.network.block
        block = torch.nn.functional.pad(self._waiting, (0, padding))
        estimates = torch.cat((self._stepped(block), self.network.finish(self._state)), -1)
        silence = torch.zeros_like(self._mix)
        return self._kept(estimates, torch.cat((block, silence), 1))[..., :rest]

    def _stepped(self, samples: torch.Tensor) -> torch.Tensor:
        """(channel, time), whole blocks -> (channel, source, time)."""
        out = [self._mix.new_zeros(len(samples), len(SOURCES), 0)]
        for block in samples.split(self.network.block, 1) if samples.shape[1] else ():
            estimates, self._state = self.network.step(block, self._state)
            out.append(estimates)
        return torch.cat(out, -1)

    def _kept(self, estimates: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
        """What a separator does after its network; nothing of before the first sample."""
        time = samples.shape[1]
        mix = torch.cat((self._mix, samples), 1)
        self._mix = mix[:, time:]
        out = self.separator.finished(mix[:, :time], estimates)[..., self._early :]
        self._early = max(0, self._early - time)
        self._pending -= out.shape[-1]
        return out



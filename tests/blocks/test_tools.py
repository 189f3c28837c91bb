"""Tools block by block: in time with the mixture, live as on the whole, and at any rate."""

import numpy as np
import pytest
import torch

from local.base.errors import UserError
from local.blocks.tools import FrameTool
from local.model import windows
from local.model.separators import Separator
from local.separation.live import Live


class Late(FrameTool):
    """Half of the input, ``delay`` samples late, and more at each block: it has a memory."""

    block, delay = 40, 100

    def begin(self):
        return np.zeros(self.delay, np.float32), 0

    def denoise(self, block, state):
        held, count = state
        held = np.concatenate((held, block))
        return held[: self.block] * 0.5 + count, (held[self.block :], count + 1)


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("time", [1, 39, 40, 41, 100, 1000, 1001])
def test_the_delay_is_gone(time):
    mix = noise(2, time)
    estimates = Late()(mix)
    count = (torch.arange(time) + Late.delay) // Late.block  # of blocks before a sample's own
    torch.testing.assert_close(estimates[:, 0], mix / 2 + count)
    torch.testing.assert_close(estimates.sum(1), mix, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 40, 333])
@pytest.mark.parametrize("time", [1, 79, 1000])
def test_live_is_the_whole_recording(time, size):
    separator = Separator(Late(), "late", 16000, "difference").eval()
    mix = noise(2, time)
    live = Live(separator, channels=2)
    out = [live.push(piece) for piece in mix.split(size, 1)]
    found = torch.cat([*out, live.finish()], -1)
    torch.testing.assert_close(found, separator(mix), rtol=0, atol=1e-6)
    assert live.latency == Late.delay + Late.block


def test_at_another_rate_it_is_resampled_and_cannot_run_live():
    time = torch.arange(48000) / 48000
    mix = torch.sin(2 * torch.pi * 440 * time)[None]
    tool = Late(sample_rate=48000)
    tool.denoise = lambda block, state: (Late.denoise(tool, block, state)[0] * 0,
                                         Late.denoise(tool, block, state)[1])  # fmt: skip
    voice, rest = tool(mix)[0]
    assert not voice.any()
    torch.testing.assert_close(rest, mix[0])
    with pytest.raises(UserError, match=r"^late cannot run live"):
        Live(Separator(tool, "late", 48000))


def test_a_recording_comes_to_the_tools_rate_in_its_own_way():
    class Holding(Late):
        """Resamples by holding and dropping samples, and changes nothing."""

        def resample(self, x, rate, rate_out):
            if rate_out < rate:
                return x[..., :: rate // rate_out]
            return x.repeat_interleave(rate_out // rate, -1)

        def voice_of(self, samples):
            return samples

    separator = Separator(Holding(), "holding", 16000, "difference").eval()
    mix = noise(1001).numpy()
    voice, rest = windows.estimate(separator, mix, 8000)
    np.testing.assert_array_equal(voice, mix)
    np.testing.assert_allclose(rest, 0 * mix, atol=1e-7)

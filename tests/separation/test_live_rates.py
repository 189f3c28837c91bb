"""Live at another rate: the same as the whole recording's, as late as it says and no later."""

import pytest
import torch
from test_live import build, fed, noise
from torchaudio import functional

from local.base.errors import UserError
from local.model import above, separators, windows
from local.separation.live import Live
from local.separation.live_rates import Pieces, live_at


def whole(separator, mix, rate, way):
    stream = windows.estimate_stream(separator, lambda: [mix], rate, way=way)
    return torch.cat(list(stream), -1).transpose(0, 1)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("consistency", ["none", "difference"])
@pytest.mark.parametrize("way", above.WAYS)
def test_live_is_the_whole_recording(rate, consistency, way):
    separator = build(consistency=consistency)
    mix = noise(2, 7001)
    out = fed(live_at(separator, 2, rate, way), mix, 1999)
    torch.testing.assert_close(out, whole(separator, mix, rate, way), rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 47, 1000])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_short_inputs(rate, length):
    separator = build(7, 3)
    mix = noise(1, length)
    out = fed(live_at(separator, 1, rate), mix, 100)
    torch.testing.assert_close(out, whole(separator, mix, rate, "follow"), rtol=0, atol=1e-5)


class Half(torch.nn.Module):
    """A tool: it has no parameters, and resamples in its own way."""

    block, latency = 7, 0

    def forward(self, mix):
        return torch.stack((mix / 2, mix / 2), 1)

    def start(self, batch):
        return ()

    def step(self, block, state):
        return self(block), state

    def finish(self, state):
        return torch.zeros(2, 2, 0)

    def resample(self, x, rate, rate_out):
        return functional.resample(x.contiguous(), rate, rate_out)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_a_tool_is_fed_as_it_is_with_the_whole_recording(rate):
    separator = separators.Separator(Half(), "half", 16000, "difference").eval()
    mix = noise(2, 7001)
    out = fed(live_at(separator, 2, rate), mix, 1999)
    torch.testing.assert_close(out, whole(separator, mix, rate, "follow"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("way", above.WAYS)
def test_a_sample_comes_out_when_the_latency_has_passed(way):
    live = live_at(build(401, 150), 1, 48000, way)
    went_in = came_out = slowest = 0
    for piece in noise(1, 8000).split(5, 1):
        went_in += piece.shape[1]
        count = live.push(piece).shape[-1]
        if count:
            slowest = max(slowest, went_in - came_out)
        came_out += count
    assert live.latency - 250 < slowest <= live.latency + 4  # 5 samples at a time
    assert live.finish().shape[-1] == went_in - came_out


def test_nothing_in_nothing_out():
    assert live_at(build(), 1, 48000).finish().shape == (1, 2, 0)


def test_the_models_own_rate_takes_no_detour():
    assert isinstance(live_at(build(), 1, 16000), Live)
    assert isinstance(live_at(build()), Live)


def test_what_cannot_run_live_is_refused():
    with pytest.raises(UserError, match="cannot run live"):
        live_at(separators.build("convtasnet", "tiny"), 1, 48000)
    with pytest.raises(UserError, match="767999 Hz to 16000 Hz takes too large a filter"):
        live_at(build(), 1, 767999)


@pytest.mark.parametrize("size", [1, 3, 10, 64, 999])
def test_pieces_of_a_filter_are_the_filtered_whole(size):
    taps, x = noise(1, 1, 9), noise(2, 1, 700)

    def convolve(y):
        return torch.nn.functional.conv1d(y, taps, padding=4)

    pieces = Pieces(convolve, 8, 4, 4)
    out = [pieces.push(piece) for piece in x.split(size, -1)]
    out = torch.cat([*out, pieces.finish()], -1)
    torch.testing.assert_close(out, convolve(x), atol=1e-6, rtol=0)

"""Live separation: the same as that of the whole recording, as early as can be, or refused."""

import pytest
import torch

from local import SOURCES
from local.base.errors import UserError
from local.model import separators
from local.model.separators import Separator
from local.separation.live import Live

SIZES = [(512, 256), (512, 128), (512, 200), (401, 150), (7, 3)]  # window, hop


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(window=512, hop=256, consistency="difference", order=SOURCES):
    """A tiny causal separator whose statistics are those of noise."""
    sizes = {"window": window, "hop": hop, "input_size": 8, "hidden_size": 8}
    network = separators.build("lstm_complex", "tiny", **sizes).network
    with torch.no_grad():
        network.fit([(noise(2, 4000), None)])
    return Separator(network, "lstm_complex", 16000, consistency, order).eval()


def fed(live, mix, size):
    """All that comes out where ``mix`` goes in by pieces of ``size`` samples."""
    out = [live.push(piece) for piece in mix.split(size, 1)]
    return torch.cat([*out, live.finish()], -1)


def whole(separator, mix):
    with torch.inference_mode():
        return separator(mix)


@pytest.mark.parametrize("length", [1, 2, 255, 256, 1111])
@pytest.mark.parametrize("sizes", SIZES)
def test_live_is_the_whole_recording(sizes, length):
    separator = build(*sizes)
    mix = noise(2, length)
    out = fed(Live(separator, channels=2), mix, 500)
    torch.testing.assert_close(out, whole(separator, mix), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 100, 256, 300, 5000])
def test_pieces_may_have_any_size(size):
    separator = build()
    mix = noise(1, 1300)
    out = fed(Live(separator), mix, size)
    torch.testing.assert_close(out, whole(separator, mix), rtol=0, atol=1e-6)


def test_speech_level_after_silence_and_silence_after_it():
    separator = build()
    mix = torch.cat((torch.zeros(1, 3000), 10 * noise(1, 3001), torch.zeros(1, 3000)), 1)
    out = fed(Live(separator), mix, 999)
    torch.testing.assert_close(out, whole(separator, mix), rtol=0, atol=1e-5)


@pytest.mark.parametrize("consistency", ["none", "project", "difference"])
def test_order_and_consistency_are_those_of_the_separator(consistency):
    separator = build(consistency=consistency, order=SOURCES[::-1])
    mix = noise(1, 2001)
    out = fed(Live(separator), mix, 700)
    torch.testing.assert_close(out, whole(separator, mix), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_sample_comes_out_when_the_latency_has_passed(sizes):
    live = Live(build(*sizes))
    mix = noise(1, 1100)
    went_in = came_out = slowest = 0
    for sample in mix.split(1, 1):
        went_in += 1
        count = live.push(sample).shape[-1]
        if count:
            slowest = max(slowest, went_in - came_out)
        came_out += count
    assert slowest == live.latency
    assert live.finish().shape[-1] == went_in - came_out


def test_the_latency_of_the_recipe_is_its_window():
    assert Live(build()).latency == 512


def test_nothing_in_nothing_out():
    assert Live(build()).finish().shape == (1, 2, 0)


@pytest.mark.parametrize("recipe", ["blstm_complex", "convtasnet"])
def test_what_cannot_run_live_is_refused(recipe):
    with pytest.raises(UserError, match=f"^{recipe} cannot run live: "):
        Live(separators.build(recipe, "tiny"))

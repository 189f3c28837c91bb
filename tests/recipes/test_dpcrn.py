"""DPCRN: the paper's sizes, what it sees of the future, levels, live use."""

import pytest
import torch

from local.base.errors import UserError
from local.model import separators
from local.separation.live import Live


def build(**changes):
    """A tiny separator whose statistics are those of noise."""
    separator = separators.build("dpcrn", "tiny", **changes)
    with torch.no_grad():
        separator.network.fit([(noise(2, 4000), None)])
    return separator


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lstm_parameters(inputs, hidden):
    """One direction of one layer: four gates of weights and two biases."""
    return 4 * hidden * (inputs + hidden + 2)


def test_parameters_are_those_of_the_layers():
    down = [(3, 32, 5), (32, 32, 3), (32, 32, 3), (32, 64, 3), (64, 128, 3)]
    up = [(256, 64, 3), (128, 32, 3), (64, 32, 3), (64, 32, 3)]
    # two frames by a kernel, a bias; scale and offset of the norm; slope of the rectifier
    expected = sum(out * (2 * kernel * inputs + 1 + 3) for inputs, out, kernel in down + up)
    expected += 3 * (2 * 5 * 64 + 1)  # the last one: a gain and a turn, no norm
    across, along = 2 * lstm_parameters(128, 64), lstm_parameters(128, 128)
    block = across + along + 2 * (128 * 128 + 128) + 2 * 2 * 51 * 128
    found = separators.count_parameters(separators.build("dpcrn"))
    assert found == expected + 2 * block
    assert round(found / 1e6, 1) == 0.8  # Le et al. 2021, table 1


def test_without_weights_the_phase_is_kept_and_half_the_mixture_is_voice():
    separator = build().eval()
    last = separator.network.up[-1].convolution
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        mix = noise(2, 5001)
        voice, residue = separator(mix).unbind(1)
    torch.testing.assert_close(voice, mix / 2, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(voice + residue, mix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gain", [1e-2, 8.0])
def test_estimates_move_with_the_level(gain):
    separator = build().eval()
    mix = noise(2, 9001)
    with torch.no_grad():
        expected, found = gain * separator(mix), separator(gain * mix)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * gain)


@pytest.mark.parametrize("place", [8000, 8001, 8255])
def test_it_sees_511_samples_ahead(place):
    separator = build().eval()
    mix = noise(1, 16000)
    changed = mix.clone()
    changed[:, place:] = noise(1, 16000 - place, seed=1)
    with torch.no_grad():
        before, after = separator(mix), separator(changed)
    past = place - 511
    torch.testing.assert_close(after[..., :past], before[..., :past], rtol=0, atol=1e-7)
    assert not torch.allclose(before[..., past : past + 512], after[..., past : past + 512])


@pytest.mark.parametrize("sizes", [(512, 256), (512, 128), (400, 200), (7, 3)])
@pytest.mark.parametrize("length", [1, 255, 3111])
def test_live_is_the_whole_recording(sizes, length):
    window, hop = sizes
    separator = build(window=window, hop=hop, level=3).eval()
    mix = torch.cat((noise(2, length), torch.zeros(2, 400), 5 * noise(2, 1000, seed=1)), 1)
    live = Live(separator, channels=2)
    out = [live.push(piece) for piece in mix.split(500, 1)]
    found = torch.cat([*out, live.finish()], -1)
    with torch.inference_mode():
        torch.testing.assert_close(found, separator(mix), rtol=0, atol=1e-5)


def test_live_waits_32_milliseconds_at_most():
    for preset in (None, "small", "tiny"):
        live = Live(separators.build("dpcrn", preset).eval())
        assert live.latency <= 0.032 * 16000


def test_statistics_bring_the_training_set_to_mean_0_and_deviation_1():
    network = build().network
    mix = noise(2, 4000)
    with torch.no_grad():
        features, _ = network._features(network.stft.parts(mix), network.memory(2)[0])
    rows = features.transpose(1, 2).flatten(0, 1).flatten(1)
    inner = torch.ones(rows.shape[1], dtype=bool)
    inner[[257, 257 + 256, 2 * 257, 2 * 257 + 256]] = False  # of 0 and 8 kHz, real numbers
    torch.testing.assert_close(rows.mean(0), torch.zeros(3 * 257), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        rows.std(0, unbiased=False)[inner], torch.ones(int(inner.sum())), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": [8, 16]}, "one each"),
        ({"channels": [8, 16, 15]}, "even"),
        ({"kernels": [4, 3, 3]}, "odd"),
        ({"strides": [2, 0, 2]}, "strides"),
        ({"level": 0}, "level"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        separators.build("dpcrn", "tiny", **changes)

"""DPCRN: the paper's sizes, and sizes that cannot be."""

import pytest
import torch

from local.base.errors import UserError
from local.model import separators


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

"""GTCRN: the paper's sizes, bands of the ear, layers that are those of torch, first masks."""

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from local.base.errors import UserError
from local.model import separators


@pytest.fixture(scope="module")
def network():
    return separators.build("gtcrn_trainable").network


@pytest.fixture(scope="module")
def model(network):
    """The module that the network's class is of."""
    return sys.modules[type(network).__module__]


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gru(inputs, hidden):
    """Three gates of weights and two biases."""
    return 3 * hidden * (inputs + hidden + 2)


def test_parameters_are_those_of_the_layers(network):
    # weights and a bias; scale and offset of the norm; slope of the rectifier
    down = 16 * (9 * 5 + 1 + 2) + 1 + 16 * (8 * 5 + 1 + 2) + 1
    up = 16 * (8 * 5 + 1 + 2) + 1 + 2 * (16 * 5 + 1 + 2)  # the last has a limit without a slope
    convolutions = 16 * (8 * 3 + 1 + 2) + 1 + 16 * (3 * 3 + 1 + 2) + 1 + 8 * (16 + 1 + 2)
    temporal = convolutions + gru(8, 16) + 8 * (16 + 1)
    block = 4 * gru(8, 4) + 2 * gru(8, 8) + 2 * (16 * (16 + 1) + 2 * 33 * 16)
    found = separators.count_parameters(separators.build("gtcrn_trainable"))
    assert found == down + up + 6 * temporal + 2 * block
    assert round(found / 1e3, 2) == 23.67  # Rong et al. 2024, what is learnt
    fixed = 2 * network.triangles.numel()  # there and back
    assert round((found + fixed) / 1e3, 1) == 48.2  # as its authors count since


def test_bands_share_every_frequency_and_give_it_back(network):
    x, y = noise(3, 257), noise(3, 129, seed=1)
    merged, split = network.merge(x), network.split(y)
    assert merged.shape == y.shape
    assert split.shape == x.shape
    torch.testing.assert_close(merged.sum(-1), x.sum(-1))
    torch.testing.assert_close((merged * y).sum(), (x * split).sum())  # one is the other transposed
    torch.testing.assert_close(network.split(torch.ones(129)), torch.ones(257))
    assert torch.equal(merged[:, :65], x[:, :65])
    assert torch.equal(split[:, :65], y[:, :65])


def test_centres_of_bands_are_even_on_the_scale_of_the_ear(network):
    triangles = network.triangles
    assert (triangles >= 0).all()
    peaks = triangles.argmax(1)
    assert torch.equal(triangles[:, peaks], torch.eye(64))  # a band's own value at its centre
    assert (peaks[0].item(), peaks[-1].item()) == (0, 256 - 65)
    hertz = (65 + peaks.double()) * 8000 / 256
    scale = 21.4 * torch.log10(1 + 0.00437 * hertz)
    even = torch.linspace(scale[0], scale[-1], 64, dtype=torch.float64)
    nearest = (
        0.5 * 8000 / 256 * 21.4 * 0.00437 / (1 + 0.00437 * hertz) / torch.log(torch.tensor(10))
    )
    assert ((scale - even).abs() <= 1.01 * nearest).all()  # half a frequency, by the slope there


def test_neighbours_are_those_of_unfold(model):
    x = noise(2, 4, 5, 9)
    expected = F.unfold(x, (1, 3), padding=(0, 1)).view(2, 12, 5, 9)
    assert torch.equal(model.neighbours(x), expected)


@pytest.mark.parametrize("steps", [1, 6])
def test_grouped_layers_are_layers_side_by_side(model, steps):
    layer = model.Recurrent(3, 4, 5)
    x, before = noise(steps, 2, 12), noise(1, 2, 15, seed=1)
    with torch.no_grad():
        found, last = layer(x, before)
        for group in range(3):
            alone = nn.GRU(4, 5)
            for ours, theirs in zip(layer.parts, alone.parameters(), strict=True):
                theirs.copy_(ours[group].reshape(theirs.shape))
            own = slice(5 * group, 5 * group + 5)
            expected, state = alone(
                x[..., 4 * group : 4 * group + 4], before[..., own].contiguous()
            )
            torch.testing.assert_close(found[..., own], expected)
            torch.testing.assert_close(last[..., own], state)


def test_bands_are_passed_in_both_directions(model):
    block = model.DualPath(7, 8).eval()
    x = noise(2, 3, 7, 8)
    with torch.no_grad():
        block.norm[1].weight.zero_()  # nothing of the way along time
        upwards, downwards = [], []
        for group in range(2):
            alone = nn.GRU(4, 2, batch_first=True, bidirectional=True)
            theirs = list(alone.parameters())
            for place, ours in enumerate(block.across.parts):
                theirs[place].copy_(ours[group].reshape(theirs[place].shape))
                theirs[4 + place].copy_(ours[2 + group].reshape(theirs[place].shape))
            out, _ = alone(x[..., 4 * group : 4 * group + 4].reshape(6, 7, 4))
            upwards.append(out[..., :2])
            downwards.append(out[..., 2:])
        out = torch.cat((*upwards, *downwards), 2).view(x.shape)
        expected = x + block.norm[0](block.linear[0](out))
        found, _ = block(x, torch.zeros(1, 14, 8))
    torch.testing.assert_close(found, expected)


def test_first_masks_are_about_half_the_mixture():
    separator = separators.build("gtcrn_trainable")
    mix = noise(2, 8001)
    with torch.no_grad():
        separator.network.fit([(mix, None)])
        voice, residue = separator.train()(mix).unbind(1)
    assert (voice - mix / 2).square().mean() < 0.03 * mix.square().mean()
    torch.testing.assert_close(voice + residue, mix, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 6}, "multiple of 4"),
        ({"dilations": [1, 0]}, "dilations"),
        ({"low": 257}, "low 257"),
        ({"bands": 200}, "too many bands"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        separators.build("gtcrn_trainable", "tiny", **changes)

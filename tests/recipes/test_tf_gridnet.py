"""TF-GridNet: sizes of the paper, its recurrent layers on neighbours, its attention, levels."""

import sys

import pytest
import torch
from torch.nn import functional as F

from local.base.errors import UserError
from local.model import separators


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**changes):
    return separators.build("tf_gridnet", "tiny", **changes)


def module():
    """The recipe's classes, whose module the recipe's import has made."""
    network = separators.network_class("tf_gridnet", "TFGridNet")
    return sys.modules[network.__module__]


def expected_parameters(frequencies, channels, blocks, hidden, kernel, heads, query):
    norm = 2 * channels
    lstm = 2 * 4 * hidden * (channels * kernel + hidden + 2)
    back = 2 * hidden * channels * kernel + channels
    attention = channels * channels + channels + 1 + 2 * channels * frequencies
    for size in (query, query, channels // heads):
        # for each head a linear layer, a slope, a scale and an offset at each frequency
        attention += heads * (channels * size + size + 1 + 2 * size * frequencies)
    ends = (2 * 9 * channels + channels + norm) + (channels * 9 * 4 + 4)
    return ends + blocks * (2 * (norm + lstm + back) + attention)


def test_at_8_khz_there_are_14_5_million_parameters():
    network = module().TFGridNet(window=256, hop=64, query=4, sample_rate=8000)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == expected_parameters(129, 64, 6, 256, 4, 4, 4)
    assert found == 14_521_042  # 14.5 M: Wang et al. 2023 on WSJ0-2mix; ESPnet's TFGridNet


def test_at_16_khz_queries_are_as_large():
    network = module().TFGridNet()
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == expected_parameters(257, 64, 6, 256, 4, 4, 2)


@pytest.mark.parametrize("axis", ["TIME", "FREQUENCY"])
@pytest.mark.parametrize(("kernel", "stride"), [(4, 1), (4, 4), (3, 2), (1, 1)])
@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_a_recurrent_layer_takes_neighbours(axis, kernel, stride, size):
    axis = getattr(module(), axis)
    layer = module().Recurrent(6, 5, kernel, stride, axis)
    x = noise(2, 3, size, 6) if axis == 2 else noise(2, size, 3, 6)
    with torch.no_grad():
        found = layer(x).movedim(axis, 2)
        # the same by torch's unfolding of images, sequence by sequence
        x = x.movedim(axis, 2)
        margin = kernel - stride
        more = -(size + 2 * margin - kernel) % stride
        for i, j in ((0, 0), (1, 2)):
            places = F.pad(layer.norm(x[i, j]), (0, 0, margin, margin + more))
            steps = F.unfold(places.T[None, :, :, None], (kernel, 1), stride=(stride, 1))
            out, _ = layer.recurrent(steps[0].T[:, None])
            back = F.conv_transpose1d(out[:, 0].T[None], layer.back.weight, layer.back.bias, stride)
            expected = x[i, j] + back[0, :, margin : margin + size].T
            torch.testing.assert_close(found[i, j], expected, rtol=1e-4, atol=1e-5)


def test_without_queries_attention_is_the_mean_over_frames():
    attention = module().Attention(6, 2, 3, 5)
    with torch.no_grad():
        attention.inputs[0].weight.zero_()
        x = noise(2, 7, 5, 6)
        values = attention.inputs[2](x).mean(2, keepdim=True).expand(-1, -1, 7, -1, -1)
        heads = torch.cat(values.unbind(1), 3)
        expected = x + attention.project(heads)[:, 0]
        torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)


def test_attention_is_of_frames_not_of_their_order():
    attention = module().Attention(6, 2, 3, 5)
    order = torch.tensor([3, 0, 2, 1])
    x = noise(1, 4, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(attention(x[:, order]), attention(x)[:, order])


def test_points_are_rectified_and_normalised_over_a_frame():
    points = module().Points(6, 2, 3, 5)
    x = noise(2, 4, 5, 6)
    with torch.no_grad():
        found = points(x)
        linear = points.linear(x).unflatten(3, (2, 3)).movedim(3, 1)
        expected = F.layer_norm(F.leaky_relu(linear, 0.25), (5, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output", ["mapping", "polar"])
def test_what_has_not_learnt_to_estimate(output):
    network = build(output=output).network
    with torch.no_grad():
        network.unembed.weight.zero_()
        network.unembed.bias.zero_()
        mix = noise(2, 5001)
        estimates = network(mix)
    shares = {"mapping": 0.0, "polar": 0.5}[output]  # polar: halves, and no turn of the phase
    expected = (shares * mix).unsqueeze(1).expand_as(estimates)
    torch.testing.assert_close(estimates, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"), [({"stride": 9}, "stride 9"), ({"heads": 3}, "channels 8")]
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)

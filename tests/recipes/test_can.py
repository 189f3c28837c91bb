"""Facts of the paper on the context aggregation network (Germain, Chen and Koltun 2018)."""

import torch
from torch.nn import functional as F

from local.base import config
from local.model import separators


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**changes):
    return separators.build("can", "tiny", **changes)


def test_layers_are_the_papers():
    conf = config.read("can")
    with torch.device("meta"):
        network = separators.network_class("can", conf["class"])(**conf["model"])
    assert [layer.dilation for layer in network.layers] == [2**i for i in range(13)] + [1]
    assert all(layer.convolution.out_channels == 64 for layer in network.layers)
    first, middle = 1 * 64 * 3 + 64, 64 * 64 * 3 + 64
    expected = first + 13 * middle + 14 * 2 + 64 * 2 + 2
    assert sum(p.numel() for p in network.parameters()) == expected


def test_receptive_field_is_the_papers():
    """2^14 + 1 samples: twice 1 + 2 + ... + 4096, twice the last layer's 1, and the sample."""
    network = build(layers=13, channels=2).network.double()
    mix = noise(1, 5 * 4096).double().requires_grad_()
    x = mix.unsqueeze(1)  # at its own level, which depends on all of it
    for layer in network.layers:
        x = layer(x)
    network.output(x)[0, :, 10000].sum().backward()
    (seen,) = mix.grad[0].nonzero(as_tuple=True)
    assert (int(seen[0]), int(seen[-1])) == (10000 - 8192, 10000 + 8192)
    assert 2 * 8192 + 1 == 2**14 + 1


def test_rows_make_a_plain_convolution_a_dilated_one():
    for layer in build().network.layers:
        channels = layer.convolution.in_channels
        x = noise(2, channels, 3 * layer.dilation)
        expected = F.conv1d(
            x, layer.convolution.weight.squeeze(-1), layer.convolution.bias,
            padding=layer.dilation, dilation=layer.dilation,
        )  # fmt: skip
        torch.testing.assert_close(layer(x), F.leaky_relu(expected, 0.2), rtol=1e-5, atol=1e-6)


def test_adaptive_normalisation_weighs_its_input_and_the_normal_one():
    norm = build().network.layers[0].norm.train()
    stock = torch.nn.BatchNorm1d(norm.num_features, affine=False)
    x = 3 * noise(4, norm.num_features, 500) + 1
    torch.testing.assert_close(norm(x), x)  # at first
    norm.reset_running_stats()
    with torch.no_grad():
        norm.plain.fill_(0.25)
        norm.normal.fill_(2.0)
    for _ in range(3):
        torch.testing.assert_close(norm(x), 0.25 * x + 2 * stock(x))
    norm.eval()
    torch.testing.assert_close(norm(x), 0.25 * x + 2 * stock.eval()(x))
    assert norm.num_batches_tracked == 3


def test_the_level_goes_through_and_silence_is_silence():
    """Against a fixed unit, quiet recordings would drown in the layers' offsets."""
    separator = build()
    with torch.no_grad():
        for layer in separator.network.layers:
            layer.convolution.bias.fill_(0.1)
        mix = noise(2, 3001)
        out = separator(mix)
        for gain in (2.0**-13, 2.0**7):
            torch.testing.assert_close(separator(gain * mix) / gain, out, rtol=1e-4, atol=1e-5)
        assert not separator(torch.zeros(1, 3001)).any()


def test_the_voice_alone_leaves_the_rest_to_the_noise():
    separator = build(outputs="voice")
    mix = noise(2, 3001)
    with torch.no_grad():
        out = separator.network(mix)
    assert separator.network.output.out_channels == 1
    assert out.shape == (2, 2, 3001)
    torch.testing.assert_close(out.sum(1), mix, rtol=0, atol=1e-6)

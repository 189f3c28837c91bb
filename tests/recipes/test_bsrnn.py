"""Band-split RNN: the bands and sizes of the papers, its norm, its masks, levels."""

import sys

import pytest
import torch
from torch import nn

from local.base.errors import UserError
from local.model import separators


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def module():
    """The recipe's classes and functions, whose module the separator has imported."""
    return sys.modules[type(build().network).__module__]


def build(**changes):
    return separators.build("bsrnn", "tiny", **changes)


def lstm_parameters(inputs, hidden):
    """Both directions of one layer: four gates of weights and two biases each."""
    return 2 * 4 * hidden * (inputs + hidden + 2)


def expected_parameters(sizes, channels, layers):
    split = sum(2 * 2 * size + (2 * size + 1) * channels for size in sizes)
    residual = (
        lstm_parameters(channels, 2 * channels) + (4 * channels + 1) * channels + 2 * channels
    )
    hidden = 4 * channels
    estimate = sum(
        2 * channels + (channels + 1) * hidden + (hidden + 1) * 4 * size for size in sizes
    )
    return split + 2 * layers * residual + 2 * estimate


def test_bands_of_48_khz_are_those_of_the_paper():
    # Yu and Luo 2023: 20 bands of 200 Hz, 6 of 500 Hz, 7 of 2 kHz, and what is left
    sizes = module().band_sizes(960, 48000, (200, 500, 2000), (4000, 7000, 21000))
    assert sizes == [5] + [4] * 19 + [10] * 6 + [40] * 7 + [60]


def test_at_48_khz_there_are_16_9_million_parameters():
    network = type(build().network)(960, 480, sample_rate=48000)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == expected_parameters(network.sizes, channels=128, layers=6)
    assert found == 16_889_484  # 16.9 M: "medium", not causal, in Zhang et al. 2024


def test_parameters_of_the_full_configuration_are_those_of_the_layers():
    separator = separators.build("bsrnn")
    sizes = [5] + [4] * 19 + [10] * 6 + [20]
    assert separators.count_parameters(separator) == expected_parameters(sizes, 128, 6)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("fft", [320, 512, 2048])
def test_bands_hold_every_frequency_once(fft, rate):
    widths, ends = (500, 1000), (4000, 7000)
    sizes = module().band_sizes(fft, rate, widths, ends)
    assert sum(sizes) == fft // 2 + 1
    edges = [*range(500, 4001, 500), *range(5000, 7001, 1000)]
    edges = [edge for edge in edges if edge < rate / 2]
    assert len(sizes) == len(edges) + 1
    first = 0
    for size, low, high in zip(sizes, [-1, *edges], [*edges, rate / 2], strict=True):
        assert all(low < k * rate / fft <= high for k in range(first, first + size))
        first += size


@pytest.mark.parametrize("axes", ["TIME", "BAND"])
def test_the_norm_is_the_group_norm_of_a_sequence(axes):
    norm = module().Norm(6, getattr(module(), axes))
    reference = nn.GroupNorm(1, 6, eps=1e-7)
    with torch.no_grad():
        for ours, theirs in zip(norm.parameters(), reference.parameters(), strict=True):
            theirs.copy_(ours.copy_(noise(6)))
    x = noise(5, 2, 3, 6, seed=1)  # frame, batch, band, channel
    order = (1, 2, 3, 0) if axes == "TIME" else (0, 1, 3, 2)  # a sequence each, channel, step
    sequences = x.permute(*order)
    expected = reference(sequences.flatten(0, 1)).view(sequences.shape)
    torch.testing.assert_close(norm(x).permute(*order), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", ["complex", "polar"])
def test_what_has_not_learnt_to_mask(mask):
    separator = build(mask=mask)
    with torch.no_grad():
        for estimate in separator.network.estimates:
            for band in estimate.bands:
                band[3].weight.zero_()
                band[3].bias.zero_()
        mix = noise(2, 5001)
        voice, residue = separator(mix).unbind(1)
    gain = {"complex": 0.0, "polar": 0.5}[mask]  # polar: a half, and no turn of the phase
    torch.testing.assert_close(voice, gain * mix, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(voice + residue, mix, rtol=0, atol=1e-6)


def test_a_band_masks_its_own_frequencies():
    separator = build()
    network = separator.network
    with torch.no_grad():
        for i, band in enumerate(network.estimates[0].bands):
            band[3].weight.zero_()
            band[3].bias.zero_()
            values = band[3].bias.view(2, 3, -1)  # what GLU lets through and by how much, parts
            values[1] = 100.0
            values[0, 0] = 100.0 if i == 3 else -100.0
        angle = 2 * torch.pi * torch.arange(8000) / 16000
        inside, outside = (torch.sin(hertz * angle)[None] for hertz in (1750, 5500))
        voice, residue = separator(inside + outside).unbind(1)  # the band is 1500 to 2000 Hz
    middle = slice(512, -512)
    torch.testing.assert_close(voice[:, middle], inside[:, middle], rtol=0, atol=1e-2)
    torch.testing.assert_close(residue[:, middle], outside[:, middle], rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [500]}, "one each"),
        ({"widths": [300, 1000]}, "ends 4000"),
        ({"ends": [4000, 4000]}, "ends 4000"),
        ({"widths": [10, 1000]}, "31.25 Hz"),
    ],
)
def test_bands_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)

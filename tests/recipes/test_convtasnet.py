"""Facts of the paper on Conv-TasNet (Luo and Mesgarani 2019)."""

import torch

from local.model import separators

PAPER = {"kernel_size": 16, "stride": 8}  # 2 ms at the paper's 8 kHz; the rest is our conf.yml
NARROW = {"bn_chan": 2, "hid_chan": 3, "skip_chan": 2, "n_filters": 4}


def test_parameters_are_those_of_table_ii():
    separator = separators.build("convtasnet", **PAPER)
    filters, bottleneck, hidden, skip, kernel = 512, 128, 512, 128, 3
    norm, activation = 2 * hidden, 1  # gain and bias; the slope of a PReLU
    block = (
        (bottleneck * hidden + hidden) + activation + norm
        + (hidden * kernel + hidden) + activation + norm
        + (hidden * bottleneck + bottleneck) + (hidden * skip + skip)
    )  # fmt: skip
    expected = (
        2 * filters * PAPER["kernel_size"]
        + 2 * filters + (filters * bottleneck + bottleneck)
        + 8 * 3 * block
        + activation + (skip * 2 * filters + 2 * filters)
    )  # fmt: skip
    assert separators.count_parameters(separator) == expected
    assert round(expected / 1e6, 1) == 5.1


def test_receptive_field_is_that_of_table_ii():
    """1.53 s at 8 kHz: 1 + 3 (repeats) * 2 * (1 + 2 + ... + 128) frames of 8 samples."""
    masker = separators.build("convtasnet", **NARROW, norm_type="bN").network.masker.double()
    frames = torch.randn(1, NARROW["n_filters"], 1801, dtype=torch.float64, requires_grad=True)
    masker(frames)[..., 900].sum().backward()
    (seen,) = frames.grad.abs().sum((0, 1)).nonzero(as_tuple=True)
    assert (seen[0], seen[-1]) == (900 - 765, 900 + 765)
    assert round((1 + 2 * 765) * 8 / 8000, 2) == 1.53


def test_causal_network_hears_no_future():
    separator = separators.build("convtasnet", "tiny", **NARROW, causal=True, norm_type="cLN")
    mix = torch.randn(1, 4000)
    later = mix.clone()
    later[:, 2000:] += 1
    kernel = separator.network.encoder.filterbank.kernel_size
    with torch.no_grad():
        before, after = separator(mix), separator(later)
    assert torch.equal(before[..., : 2001 - kernel], after[..., : 2001 - kernel])
    assert not torch.equal(before[..., 2000:], after[..., 2000:])

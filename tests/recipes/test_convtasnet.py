"""Facts of the paper on Conv-TasNet (Luo and Mesgarani 2019)."""

import pytest
import torch
from asteroid.models import BaseModel
from torch.nn import functional as F

from local.base.errors import UserError
from local.model import checkpoint, separators
from local.separation.live import Live

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


MEL = {"fb_name": "mel", "n_filters": 128, "kernel_size": 128, "stride": 32,
       "filterbank": {"n_mels": 8}}  # fmt: skip
COSINE = {"fb_name": "cosine", "n_filters": 16, "kernel_size": 32, "stride": 16}
STFT = {"fb_name": "stft", "n_filters": 64, "kernel_size": 64, "stride": 16}


def causal(seed=0, **changes):
    """A narrow network whose normalisations and biases matter."""
    separator = separators.build("convtasnet_causal", "tiny", **(NARROW | changes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in separator.network.masker.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return separator


@pytest.mark.parametrize("length", [0, 3, 255, 1111])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm_type": "cLN", "mask_act": "softmax"},
        {"kernel_size": 20, "stride": 7, "conv_kernel_size": 2},
        {"kernel_size": 16, "stride": 16, "fb_name": "analytic_free"},  # no frame overlaps
        STFT | {"encoder_activation": "relu"},
        COSINE,
        MEL,
    ],
)
def test_live_is_the_whole_recording(changes, length):
    separator = causal(**changes)
    for middle in (1, 500):  # a recording of a few samples, and one with silence in it
        noise = torch.randn(2, length + middle, generator=torch.Generator().manual_seed(0))
        silence = torch.zeros(2, 200 if middle > 1 else 0)
        mix = torch.cat((0.1 * noise[:, :length], silence, noise[:, length:]), 1)
        live = Live(separator, channels=2)
        out = [live.push(piece) for piece in mix.split(500, 1)]
        found = torch.cat([*out, live.finish()], -1)
        with torch.inference_mode():
            torch.testing.assert_close(found, separator(mix), rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, STFT])
def test_features_far_from_0_and_close_together_are_normalised_exactly(changes):
    """Those of a quiet recording after a sigmoid: squares of 0.5 would cancel in float32."""
    separator = causal(**changes, encoder_activation="sigmoid")
    mix = 0.01 * torch.randn(1, 3000, generator=torch.Generator().manual_seed(0))
    live = Live(separator)
    found = torch.cat((live.push(mix), live.finish()), -1)
    with torch.inference_mode():
        whole = separator(mix)
        exact = separator.double()(mix.double())
    for estimates in (found, whole):
        error = (estimates - exact).abs().max() / exact.abs().max()
        assert error < 1e-3


@pytest.mark.parametrize(("preset", "samples"), [(None, 32), ("tiny", 32), ("small", 512)])
def test_live_waits_for_one_frame(preset, samples):
    assert Live(separators.build("convtasnet_causal", preset)).latency == samples


@pytest.mark.parametrize("changes", [{"fb_name": "gabor", "n_filters": 64}, {"causal": False}])
def test_what_looks_further_ahead_cannot_run_live(changes):
    with pytest.raises(UserError, match="cannot run live"):
        Live(causal(**changes))


@pytest.mark.parametrize("changes", [STFT, COSINE, MEL])
def test_masks_of_one_give_every_sample_back(changes):
    network = causal(**changes).network
    conv = network.masker.mask_net[1]
    torch.nn.init.zeros_(conv.weight)
    torch.nn.init.constant_(conv.bias, 100.0)  # of a sigmoid
    for length in (1, 100, 333):
        mix = torch.randn(1, length, generator=torch.Generator().manual_seed(length))
        with torch.no_grad():
            estimates = network(mix)
        torch.testing.assert_close(estimates, mix.unsqueeze(1).expand_as(estimates))


def test_asteroid_loads_it_without_the_silence(tmp_path):
    separator, path = causal(), tmp_path / "model.pth"
    checkpoint.save(path, separator, {"provenance": {}})
    stock = BaseModel.from_pretrained(str(path)).eval()
    mix = torch.randn(2, 1001, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = stock(F.pad(mix, (16, 32)))[..., 16:1017]
        torch.testing.assert_close(found, separator.network(mix), rtol=0, atol=1e-6)

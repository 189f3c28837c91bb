"""Facts of the paper on Wave-U-Net (Stoller, Ewert and Dixon 2018), and of the strided variant."""

from itertools import pairwise

import pytest
import torch

from local.base import config
from local.base.errors import UserError
from local.model import separators

NARROW = {"features": 2, "levels": 4}
SEES_LEVEL = {"normalise": False, "batch_norm": False}  # nothing beyond an estimate's context


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(recipe="waveunet", **changes):
    return separators.build(recipe, "tiny", **changes)


def test_parameters_are_those_of_table_1():
    """Twelve levels, 24 more filters at each, 15 steps down and 5 up, offsets included."""
    levels, features, down, up = 12, 24, 15, 5
    width = [1] + [features * i for i in range(1, levels + 2)]
    expected = sum(a * b * down + b for a, b in pairwise(width))
    for level in range(levels, 0, -1):
        expected += (width[level + 1] + width[level]) * width[level] * up + width[level]
    one_source_less = features + 1 + 1
    network = network_of_full_size()
    assert sum(p.numel() for p in network.parameters()) == expected + one_source_less
    both = network_of_full_size(difference=False)
    assert sum(p.numel() for p in both.parameters()) == expected + 2 * one_source_less
    learned = network_of_full_size(upsampling="learned")
    weights = sum(width[2:])  # one for every feature that is interpolated
    assert sum(p.numel() for p in learned.parameters()) == expected + one_source_less + weights


def network_of_full_size(**changes):
    """The network of conf.yml, without memory for its weights."""
    conf = config.read("waveunet")
    with torch.device("meta"):
        return separators.network_class("waveunet", "WaveUNet")(n_src=2, **conf["model"] | changes)


def test_context_is_the_papers():
    """147443 samples in, 16389 out, 9 steps in the middle of model M4."""
    network = network_of_full_size()
    assert network.frames(16389) == 9
    assert network.lengths(9) == (147443, 16389)
    assert network.frames(16390) == 10


@pytest.mark.parametrize("upsampling", ["linear", "learned"])
def test_output_with_context_sees_as_far_at_any_place_of_the_grid(upsampling):
    network = build(**NARROW, **SEES_LEVEL, context=True, upsampling=upsampling).network.double()
    length, output = network.lengths(network.frames(65))
    mix = noise(1, 4 * length).double().requires_grad_()
    seen = []
    for place in (0, 1600, 1616, 4 * length - 1):
        (gradient,) = torch.autograd.grad(network(mix)[0, 0, place], mix)
        (reach,) = gradient[0].nonzero(as_tuple=True)
        seen.append((int(reach[0]) - place, int(reach[-1]) - place))
    assert seen[1] == seen[2]
    margin, step = (length - output) // 2, 2 ** NARROW["levels"]
    assert margin - step < -seen[1][0] < margin + step
    assert margin - step < seen[1][1] < margin + step
    assert seen[0][0] == seen[3][1] == 0  # beyond the ends there are zeros


@pytest.mark.parametrize("context", [False, True])
def test_a_shift_by_the_coarsest_step_shifts_the_output(context):
    separator = build(**NARROW, context=context)
    mix = noise(1, 3000)
    with torch.no_grad():
        whole, part = separator(mix), separator(mix[:, 16:])
    middle = slice(1000, 2000)
    torch.testing.assert_close(part[..., middle], whole[..., 16:][..., middle], rtol=0, atol=1e-6)


def test_interpolation_keeps_the_steps_and_puts_means_between_them():
    between = type(build(**NARROW).network.between[0])
    x = noise(2, 3, 5)
    expected = torch.zeros(2, 3, 9)
    expected[..., ::2] = x
    expected[..., 1::2] = (x[..., 1:] + x[..., :-1]) / 2
    torch.testing.assert_close(between(3, learned=False)(x), expected)
    learned = between(3, learned=True)
    torch.testing.assert_close(learned(x), expected)  # at first
    with torch.no_grad():
        learned.weight[1] = 20.0  # the sigmoid of which is 1
        expected[:, 1, 1::2] = x[:, 1, :-1]
        torch.testing.assert_close(learned(x), expected, rtol=0, atol=1e-6)


def test_the_noise_is_the_difference_and_the_voice_within_full_scale():
    separator = build(**NARROW, normalise=False, bounded=True)
    mix = 100 * noise(2, 5000)
    with torch.no_grad():
        out = separator(mix)
    torch.testing.assert_close(out.sum(1), mix, rtol=0, atol=1e-5)
    assert out[:, 0].abs().max() <= 1
    assert build(**NARROW, difference=False).network.output.out_channels == 2


def test_level_makes_no_difference_and_peaks_have_no_limit():
    """What ``small`` has and the paper lacks: a fifth of remixed mixtures have peaks above 1."""
    separator = build(**NARROW)
    mix = noise(2, 4000)
    with torch.no_grad():
        plain, loud = separator(mix), separator(100 * mix)
        assert not separator(torch.zeros(1, 4000)).any()
    torch.testing.assert_close(loud, 100 * plain, rtol=1e-4, atol=1e-4)
    assert loud[:, 0].abs().max() > 1


@pytest.mark.parametrize("recipe", ["waveunet", "waveunet_strided"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_signal_is_alive_at_the_bottom_of_twelve_levels(recipe, batch_norm):
    """Its deviation over time; under torch's first weights it is below 1e-3 by level 6."""
    small = {"features": 4} if recipe == "waveunet" else {"first_features": 4, "last_features": 32}
    network = build(recipe, levels=12, batch_norm=batch_norm, **small).network.train()
    seen = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            layer.register_forward_hook(lambda _, __, out: seen.append(out.std(-1).mean()))
    mix = noise(2, 3 * 4096)
    with torch.no_grad():
        network(10 * mix)
    assert len(seen) == (26 if recipe == "waveunet" else 25)
    assert min(seen) > 0.02


@pytest.mark.parametrize("recipe", ["waveunet", "waveunet_strided"])
def test_estimates_begin_with_half_the_mixture(recipe):
    separator = build(recipe).train()
    mix = noise(4, 8000)
    with torch.no_grad():
        rest = separator(mix) - mix.unsqueeze(1) / 2
    assert rest.square().mean() < 0.5 * (mix / 2).square().mean()


def test_batch_normalisation_replaces_every_offset_but_the_last():
    for recipe in ("waveunet", "waveunet_strided"):
        network = build(recipe, batch_norm=True).network
        *inner, last = (m for m in network.modules()
                        if isinstance(m, torch.nn.Conv1d | torch.nn.ConvTranspose1d))  # fmt: skip
        norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm1d)]
        assert [m.num_features for m in norms] == [m.out_channels for m in inner]
        assert len(norms) == len(inner)
        assert all(m.bias is None for m in inner)
        assert last.bias is not None


def test_even_kernels_are_refused():
    for recipe in ("waveunet", "waveunet_strided"):
        with pytest.raises(UserError, match="kernels 4 and 5: odd"):
            build(recipe, kernel_down=4)


def test_strided_features_rise_geometrically_from_16_to_512():
    conf = config.read("waveunet_strided")
    with torch.device("meta"):
        network = separators.network_class("waveunet_strided", conf["class"])(
            n_src=2, **conf["model"]
        )
    down, up = ([m for m in part.modules() if isinstance(m, kind)] for part, kind in (
        (network.down, torch.nn.Conv1d), (network.up, torch.nn.ConvTranspose1d)))  # fmt: skip
    widths = [convolution.out_channels for convolution in down]
    assert (len(down), len(up), widths[0], widths[-1]) == (12, 12, 16, 512)
    assert all(convolution.stride == (2,) for convolution in [*down, *up])
    ratio = 32 ** (1 / 11)
    for above, below in pairwise(widths):
        assert abs(below - ratio * above) <= (1 + ratio) / 2  # whole numbers


def test_strided_level_makes_no_difference():
    separator = build("waveunet_strided")
    mix = noise(2, 4000)
    with torch.no_grad():
        loud, quiet = separator(mix), separator(1e-3 * mix)
    torch.testing.assert_close(quiet, 1e-3 * loud, rtol=1e-4, atol=1e-9)


def test_strided_loss_is_the_weighted_sum_of_its_parts():
    sources = noise(2, 2, 4000)
    mix = sources.sum(1)
    network = build("waveunet_strided", mse=3.0, sisdr=0.5, latent_l1=7.0).network
    with torch.no_grad():
        value, terms = network.loss(mix, sources)
        estimates = network(mix)
    level = sources.square().mean(-1, keepdim=True).sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(terms["mse"], ((estimates - sources) / level).square().mean())
    expected = 3 * terms["mse"] + 0.5 * terms["sisdr"] + 7 * terms["latent"]
    torch.testing.assert_close(value, expected)
    assert set(build("waveunet_strided", sisdr=0.0).network.loss(mix, sources)[1]) == {
        "mse", "latent",
    }  # fmt: skip
    with pytest.raises(UserError, match="mse, sisdr and snr are all 0"):
        build("waveunet_strided", mse=0.0, sisdr=0.0)
    silent, _ = network.loss(torch.zeros(1, 4000), torch.zeros(1, 2, 4000))
    assert silent.isfinite()

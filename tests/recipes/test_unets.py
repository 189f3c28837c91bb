"""The U-Nets over an STFT: sizes of their papers, what they mask, what training reaches."""

from itertools import pairwise

import pytest
import torch
from half_precision import error_in_bfloat16
from torch.nn import functional as F

from local.base import config
from local.blocks import masks, on_stft
from local.blocks.unet2d import EncoderDecoder
from local.model import separators

MAGNITUDE = ("unet", "spleeter", "conditioned_unet")
COMPLEX = ("complex_unet", "dccrn")
PAPER = (16, 32, 64, 128, 256, 512)  # Jansson et al. 2017


def build(recipe, **changes):
    return separators.build(recipe, "tiny", **changes)


def full_size(recipe, **changes):
    """The network of a recipe's full settings, in shapes alone."""
    conf = config.read(recipe)
    with torch.device("meta"):
        return separators.network_class(recipe, conf["class"])(**conf["model"] | changes)


def count(network):
    return sum(p.numel() for p in network.parameters())


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loss_of(network, mix, sources):
    if hasattr(network, "loss"):
        return network.loss(mix, sources)[0]
    return (network(mix) - sources).square().mean()


def paper_parameters(outputs, skip=True):
    """Of Jansson's network: kernels, two of each normalisation, the last level's biases."""
    down = list(pairwise((1, *PAPER)))
    wide = 2 if skip else 1
    up = [(512, 256), (wide * 256, 128), (wide * 128, 64), (wide * 64, 32), (wide * 32, 16)]
    kernels = sum(25 * a * b for a, b in (*down, *up, (wide * 16, outputs)))
    return kernels + 2 * sum(b for _, b in (*down, *up)) + outputs


# ---------------------------------------------------------------- every one of them


@pytest.mark.parametrize("recipe", [*MAGNITUDE, *COMPLEX])
def test_gradients_reach_every_parameter(recipe):
    network = build(recipe).network.train()
    sources = noise(2, 2, 8000)
    loss_of(network, sources.sum(1), sources).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("recipe", [*MAGNITUDE, *COMPLEX])
def test_bfloat16_stays_close(recipe):
    assert error_in_bfloat16(build(recipe), noise(2, 8000)) < 1e-3  # -30 dB


@pytest.mark.parametrize("recipe", [*MAGNITUDE, *COMPLEX])
def test_the_level_goes_through_and_silence_is_silence(recipe):
    separator = build(recipe)
    mix = noise(1, 5000)
    with torch.no_grad():
        out = separator(mix)
        for gain in (1e-4, 1e2):
            torch.testing.assert_close(separator(gain * mix) / gain, out, rtol=0, atol=1e-5)
        assert not separator(torch.zeros(1, 5000)).any()


@pytest.mark.parametrize("recipe", [*MAGNITUDE, *COMPLEX])
def test_training_on_silence_is_finite(recipe):
    network = build(recipe).network.train()
    sources = torch.zeros(2, 2, 5000)
    sources[0, 1] = noise(5000)
    loss_of(network, sources.sum(1), sources).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


# ---------------------------------------------------------------- U-Net


def test_unet_has_the_layers_of_the_paper():
    expected = paper_parameters(1)
    assert round(expected / 1e6, 1) == 9.8
    assert count(full_size("unet", shared=False)) == 2 * expected
    assert count(full_size("unet")) == paper_parameters(2)
    assert count(full_size("unet", skip=False)) == paper_parameters(2, False)
    assert count(full_size("spleeter")) == 2 * expected


def test_unet_halves_both_sizes_six_times():
    network = EncoderDecoder([1, 2, 3, 4, 5, 6], 1, dropout=0.5).eval()
    shapes = []
    for level in (*network.down, *network.up):
        level.register_forward_hook(lambda _, inputs, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network(noise(1, 512, 128))
    down = [(k + 1, 256 >> k, 64 >> k) for k in range(6)]
    up = [(max(5 - k, 1), 16 << k, 4 << k) for k in range(6)]
    assert shapes == down + up


@pytest.mark.parametrize("sizes", [(1, 1), (5, 9), (17, 3), (33, 40)])
def test_any_size_comes_back(sizes):
    network = EncoderDecoder([2, 3, 4], 2, dropout=0.5).eval()
    x = noise(1, *sizes)
    with torch.no_grad():
        out = network(x)
        assert out.shape == (1, 2, *sizes)
        if sizes[0] in (17, 33):  # the highest frequency is as the one below, and not seen
            assert torch.equal(out[..., -1, :], out[..., -2, :])
            x[:, -1] = 1
            assert torch.equal(network(x), out)


@pytest.mark.parametrize("recipe", MAGNITUDE[:2])
def test_masks_of_one_return_the_mixture(recipe):
    separator = build(recipe)
    with torch.no_grad():
        for network in separator.network.networks:
            network.up[-1][0].weight.zero_()
            network.up[-1][0].bias.fill_(30.0)
        mix = noise(1, 6001)
        out = separator.network(mix)
    share = 1.0 if recipe == "unet" else 0.5  # of a mixture that is shared out
    torch.testing.assert_close(out, share * mix.unsqueeze(1).expand_as(out), rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", on_stft.TARGETS)
def test_unet_learns_every_target(target):
    network = build("unet", target=target).network.train()
    sources = noise(2, 2, 4000)
    loss, terms = network.loss(sources.sum(1), sources)
    loss.backward()
    assert loss == terms["l1"] > 0
    estimate, wanted = network.eval().compared(sources.sum(1), sources)
    error = (estimate - wanted).abs().mean()
    torch.testing.assert_close(network.loss(sources.sum(1), sources)[0], error)


def test_unet_can_say_magnitudes_and_do_without_skips():
    mix = noise(1, 5000)
    for changes in ({"output": "magnitude"}, {"skip": False}):
        separator = build("unet", **changes)
        with torch.no_grad():
            out = separator(mix)
        assert out.shape == (1, 2, 5000)
        torch.testing.assert_close(out.sum(1), mix, rtol=0, atol=1e-5)
    network = build("unet", output="magnitude").network
    with torch.no_grad():
        magnitude = network.stft(mix).abs()
        assert (network.estimate(magnitude / on_stft.level(magnitude)) > 0).all()


def test_networks_of_its_own_for_each_source():
    network = build("unet", shared=False).network
    mix = noise(1, 5000)
    with torch.no_grad():
        before = network(mix)
        for parameter in network.networks[1].parameters():
            parameter.add_(0.1)
        after = network(mix)
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1], before[:, 1])


# ---------------------------------------------------------------- Spleeter


def test_spleeter_shares_out_the_mixture():
    network = build("spleeter").network
    given = torch.rand(1, 2, 50, 20, generator=torch.Generator().manual_seed(0))
    given[..., 0] = 0
    shared = network.applied(given)
    torch.testing.assert_close(shared.sum(1), torch.ones(1, 50, 20))
    powers = given[..., 1:].square()
    torch.testing.assert_close(shared[..., 1:], powers / powers.sum(1, keepdim=True))
    assert (shared[..., 0] == 0.5).all()
    mix = noise(1, 5000)
    with torch.no_grad():
        torch.testing.assert_close(network(mix).sum(1), mix, rtol=0, atol=1e-6)


def test_spleeter_learns_each_source_by_itself():
    network = build("spleeter").network
    sources = noise(2, 2, 4000)
    spectrum = network.stft(sources.sum(1))
    unit = on_stft.level(spectrum.abs())
    with torch.no_grad():
        own = masks.apply(network.estimate(spectrum.abs() / unit), spectrum.abs() / unit)
        expected = F.l1_loss(own, network.stft(sources).abs() / unit.unsqueeze(1))
        torch.testing.assert_close(network.loss(sources.sum(1), sources)[0], expected)


# ---------------------------------------------------------------- conditioned U-Net


@pytest.mark.parametrize(("film", "number"), [("simple", 6), ("complex", 1008)])
def test_conditioned_unet_has_a_factor_and_a_term_for_each(film, number):
    network = full_size("conditioned_unet", film=film)
    assert network.control[-1].out_features == 2 * number
    assert count(network) - count(network.control) == paper_parameters(1)


@pytest.mark.parametrize("film", ["simple", "complex"])
def test_what_is_wanted_is_what_comes(film):
    separator = build("conditioned_unet", film=film)
    network = separator.network
    magnitude = noise(3, 513, 20).abs()
    wanted = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        both = network.estimate(magnitude)
        alone = network.mask(magnitude, wanted)
        torch.testing.assert_close(alone, both[[0, 1, 2], [1, 0, 1]])
        assert not torch.allclose(both[:, 0], both[:, 1])
        network.control[0].weight.copy_(network.control[0].weight.flip(1))
        torch.testing.assert_close(network.estimate(magnitude), both.flip(1))


def test_conditioned_unet_learns_which_source_is_wanted():
    torch.manual_seed(0)
    network = build(
        "conditioned_unet", window=128, hop=64, channels=[8, 16, 32], film="complex", dropout=0.0
    ).network
    time = torch.arange(4000) / 16000
    low, high = (0.1 * torch.sin(2 * torch.pi * f * time) for f in (300.0, 3000.0))
    sources = torch.stack((low, high)).unsqueeze(0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    network.train()
    for _ in range(40):
        optimizer.zero_grad()
        network.loss(sources.sum(1), sources)[0].backward()
        optimizer.step()
    with torch.no_grad():
        out = network.eval()(sources.sum(1))
    for k in range(2):
        similarity = F.cosine_similarity(out[0, k].expand(2, -1), sources[0], dim=-1)
        assert similarity[k] > 0.9, similarity
        assert similarity[1 - k] < 0.4, similarity


# ---------------------------------------------------------------- complex masks


@pytest.mark.parametrize("recipe", COMPLEX)
def test_complex_masks_are_bounded_and_turn_phases(recipe):
    network = build(recipe).network
    spectrum = network.stft(noise(1, 5000))
    with torch.no_grad():
        found = network.masker(spectrum / on_stft.level(spectrum.abs()))
    assert found.is_complex()
    assert found.shape == (1, 2, *spectrum.shape[1:])
    assert found.abs().max() <= 1
    assert found.imag.abs().max() > 0.01


def test_complex_unet_is_asteroid_s_with_another_width():
    from asteroid.models import DCUNet

    ours = full_size("complex_unet")
    with torch.device("meta"):
        theirs = DCUNet("DCUNet-20", n_src=2)
    weights = {name: x.shape for name, x in ours.masker.state_dict().items()}
    assert weights == {name: x.shape for name, x in theirs.masker.state_dict().items()}
    narrow = build("complex_unet").network.masker
    assert narrow.encoders[1].conv.re_module.weight.shape == (8, 4, 7, 5)


def test_dccrn_is_asteroid_s_once_that_is_mended(monkeypatch):
    from asteroid import complex_nn
    from asteroid.models import DCCRNet

    init = complex_nn.ComplexSingleRNN.__init__

    def mended(self, rnn_type, input_size, *arguments, **others):
        init(self, rnn_type, int(input_size), *arguments, **others)

    monkeypatch.setattr(complex_nn.ComplexSingleRNN, "__init__", mended)
    theirs = DCCRNet("DCCRN-CL", n_src=2).masker.eval()
    conf = config.read("dccrn")
    ours = separators.network_class("dccrn", conf["class"])(**conf["model"]).masker.eval()
    ours.load_state_dict(theirs.state_dict())
    spectrum = torch.complex(noise(1, 257, 12), noise(1, 257, 12, seed=1))
    with torch.no_grad():
        found = ours(spectrum)
        torch.testing.assert_close(found[..., :-1, :], theirs(spectrum[:, :-1]))
    assert not found[..., -1, :].any()


@pytest.mark.parametrize("recipe", ["unet", "complex_unet"])
def test_fft_is_set_on_a_command_line(recipe):
    conf = config.read(recipe, "tiny", {"model.fft": "2048"})
    separator = separators.construct(conf, recipe)
    with torch.no_grad():
        assert separator(noise(1, 3000)).shape == (1, 2, 3000)
    assert separator.network.stft.frequencies == 1025


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [("complex_unet", {"architecture": "DCUNet-16", "window": 300, "hop": 100}),
     ("dccrn", {"fft": 520}), ("conditioned_unet", {"hop": 800}),
     ("unet", {"output": "magnitude", "target": "binary"})],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_said_in_a_line(recipe, changes):
    with pytest.raises(
        separators.UserError, match=rf"^{recipe} refuses these settings: \w+"
    ) as error:
        build(recipe, **changes)
    assert "\n" not in str(error.value)

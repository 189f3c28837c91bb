"""Facts of the papers on Demucs (Défossez et al. 2019; Défossez, Synnaeve and Adi 2020)."""

import pytest
import torch

from local.base import config
from local.model import separators


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def full_size(recipe, **changes):
    """The network of conf.yml, without memory for its weights and without its resampling."""
    conf = config.read(recipe)
    arguments = {"n_src": 2} | conf["model"] | {"resample": 1} | changes
    with torch.device("meta"):
        return separators.network_class(recipe, "Demucs")(**arguments)


def parameters(channels, depth, context, sources, directions, inputs=1):
    """Of kernels of 8 steps: blocks down and up, two LSTM layers and what joins directions."""
    total, above, out = 0, inputs, sources
    for i in range(depth):
        here = channels * 2**i
        total += (8 * above + 1) * here + (here + 1) * 2 * here
        total += (context * here + 1) * 2 * here + 8 * here * out + out
        above = out = here
    for given in (above, directions * above):
        total += directions * 4 * above * (given + above + 2)
    if directions == 2:
        total += (2 * above + 1) * above
    return total


def test_parameters_are_those_of_the_layers():
    network = full_size("demucs")
    expected = parameters(64, 6, 3, 2, 2)
    assert sum(p.numel() for p in network.parameters()) == expected
    assert round(expected / 1e6) == 266
    # the paper's, of stereo and four sources of stereo, is said to take 1014 MB
    paper = parameters(64, 6, 3, 8, 2, inputs=2)
    assert 1013 <= paper * 4 / 2**20 < 1014
    causal = full_size("demucs_causal")
    expected = parameters(48, 5, 1, 2, 1)
    assert sum(p.numel() for p in causal.parameters()) == expected


def test_parameters_are_those_of_the_published_model():
    """The authors' causal model of 48 channels, whose one output is the voice."""
    network = full_size("demucs_causal", n_src=1)
    assert sum(p.numel() for p in network.parameters()) == 18_867_937


@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("time", [1, 7, 8, 9, 500, 1337])
def test_lengths_leave_no_rest(context, time):
    network = separators.build("demucs", "tiny", channels=2, depth=3, context=context).network
    length, before = network.lengths(time)
    steps = length
    for _ in network.down:
        assert (steps - 8) % 4 == 0
        steps = (steps - 8) // 4 + 1
    for _ in network.up:
        steps = (steps - (context - 1) - 1) * 4 + 8
    assert steps >= time
    assert length - steps == 2 * before  # what is lost is lost at both ends alike
    assert (before == 0) == (context == 1)


def test_597_samples_make_a_frame_of_the_causal_one():
    """The paper's 37 ms at 16 kHz, of 2388 samples at four times the rate; 256 between frames."""
    network = separators.build("demucs_causal", channels=2).network
    assert network.lengths(1)[0] == 2388 == 597 * 4
    assert network.lengths(2389)[0] - 2388 == 256 * 4
    assert network.look_ahead == 646
    assert separators.build("demucs_causal", "small", channels=2).network.look_ahead == 347
    assert separators.build("demucs", "tiny", channels=2).network.look_ahead is None


def test_first_weights_are_nearer_to_one_deviation():
    network = separators.build("demucs", "tiny").network
    convolution = network.down[1][0]
    fan = convolution.in_channels * 8
    drawn = (1 / 3 / fan) ** 0.5  # deviation of torch's own first weights
    assert convolution.weight.std().item() == pytest.approx((0.1 * drawn) ** 0.5, rel=0.1)


def test_cumulative_level_is_the_deviation_so_far():
    network = separators.build("demucs_causal", "tiny").network
    mix = noise(2, 400)
    level = network._level(mix)
    for time in (1, 2, 77, 400):
        expected = mix[:, :time].square().mean(-1).sqrt()
        torch.testing.assert_close(level[:, time - 1], expected)
    plain = separators.build("demucs_causal", "tiny", normalise="none").network
    assert torch.equal(plain._level(mix), torch.ones(1, 1))


@pytest.mark.parametrize("recipe", ["demucs", "demucs_causal"])
def test_level_makes_little_difference(recipe):
    """But for what is added to the level, 0.001."""
    network = separators.build(recipe, "tiny").network
    mix = noise(1, 4000)
    with torch.no_grad():
        loud, louder = network(10 * mix), network(100 * mix)
    assert (louder - 10 * loud).square().sum() < 1e-4 * louder.square().sum()


def test_the_causal_recipe_shares_the_network():
    first, second = (separators.network_class(r, "Demucs") for r in ("demucs", "demucs_causal"))
    assert first is second


@pytest.mark.parametrize("recipe", ["demucs", "demucs_causal"])
def test_size_of_normalised_weights_makes_no_difference(recipe):
    """So that no step of the optimiser can blow up what goes through ``small``."""
    network = separators.build(recipe, "small", channels=2, depth=2).network.train()
    mix = noise(2, 4000)
    estimates = []
    for _ in range(2):  # the first time, what batch normalisation adds to a variance still counts
        with torch.no_grad():
            for block in (*network.down, *network.up):
                block[0].weight *= 100
            estimates.append(network(mix))
    torch.testing.assert_close(*estimates, rtol=1e-3, atol=1e-4)

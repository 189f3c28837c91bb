"""What holds for the separators of waveforms: gradients, half precision, silence, causality."""

import pytest
import torch
from half_precision import error_in_bfloat16

from local.base import config
from local.model import separators
from local.training.losses import SourceLoss
from local.training.system import make_optimizer

RECIPES = ("can", "convtasnet_causal", "demucs", "demucs_causal", "dptnet", "sudormrf", "waveunet",
           "waveunet_strided")  # fmt: skip
UNUSED = {"network.masker.TCN.7.res_conv.weight", "network.masker.TCN.7.res_conv.bias"}
PAPERS = {"normalise": False, "bounded": True, "batch_norm": False}  # Wave-U-Net: it sees the level
OFFSET = 0.03  # peak of what it makes of silence
STEPS = 60  # of training, before silence is listened to


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=RECIPES)
def separator(request):
    return separators.build(request.param, "tiny")


def test_gradients_reach_every_parameter(separator):
    """Conv-TasNet's last ``res_conv`` excepted: nothing comes after it."""
    (separator(noise(2, 8000)) * noise(2, 2, 8000, seed=1)).sum().backward()
    unused = {
        name
        for name, parameter in separator.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    assert unused == (UNUSED if separator.recipe == "convtasnet_causal" else set())


def test_gradients_reach_every_parameter_of_the_papers_waveunet():
    changes = {"context": True, "upsampling": "learned", "levels": 4, "features": 4} | PAPERS
    network = separators.build("waveunet", "tiny", **changes).network
    (network(noise(2, 2000)) * noise(2, 2, 2000, seed=1)).sum().backward()
    assert all(parameter.grad.any() for parameter in network.parameters())


def test_bfloat16_stays_close(separator):
    assert error_in_bfloat16(separator, noise(2, 8000)) < 10**-4.5  # -45 dB


def test_silence_stays_so(separator):
    """Where nothing but offsets could sound, the estimates are multiplied by masks, or a level."""
    with torch.no_grad():
        assert not separator(torch.zeros(2, 8000)).any()


def test_offsets_of_the_papers_waveunet_sound_no_louder_than_this():
    """Peak of the estimates of silence after a short training on noise: -30 dB."""
    conf = config.read("waveunet", "tiny")
    conf["model"] |= PAPERS
    separator = separators.construct(conf, "waveunet").train()
    optimizer, loss = make_optimizer(separator.network, conf["optim"]), SourceLoss(conf["loss"])
    for step in range(STEPS):
        sources = noise(2, 2, 8000, seed=step)
        value, _ = loss(separator(sources.sum(1)), sources)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        out = separator.eval()(torch.zeros(1, 8000))
    assert 0 < out.abs().max() < OFFSET


@pytest.mark.parametrize(
    ("recipe", "preset", "ahead", "hop"),
    [
        ("convtasnet_causal", "tiny", 31, 16),
        ("convtasnet_causal", "small", 511, 128),
        ("demucs_causal", "tiny", None, 32),
        ("demucs_causal", "small", 347, 128),
        ("demucs_causal", None, 646, 256),
    ],
)
def test_causal_ones_see_no_further_than_they_say(recipe, preset, ahead, hop):
    narrow = {"bn_chan": 4, "hid_chan": 4, "skip_chan": 4}
    separator = separators.build(
        recipe, preset, **({"channels": 8} if "demucs" in recipe else narrow)
    )
    ahead = ahead or separator.network.look_ahead
    place = 6001
    mix = noise(1, 8000)
    later = mix.clone()
    later[:, place:] += noise(1, 1999, seed=1)
    with torch.no_grad():
        before, after = separator(mix), separator(later)
    past = place - ahead
    torch.testing.assert_close(after[..., :past], before[..., :past], rtol=0, atol=1e-6)
    # nor is what they say too much: it is reached somewhere within a hop
    mix.requires_grad_()
    separator(mix)[0, 0, 5000].backward()
    (seen,) = mix.grad[0].nonzero(as_tuple=True)
    assert ahead - hop <= seen[-1] - 5000 <= ahead

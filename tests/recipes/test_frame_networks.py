"""Networks that mask frames and look back only: what they see of the future, live use."""

import pytest
import torch

from local.model import separators
from local.separation.live import Live

RECIPES = ["dpcrn", "gtcrn_trainable"]


def build(recipe, **changes):
    """A tiny separator whose statistics are those of noise."""
    separator = separators.build(recipe, "tiny", **changes)
    with torch.no_grad():
        separator.network.fit([(noise(2, 4000), None)])
    return separator.eval()


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("recipe", [*RECIPES, "lstm_complex"])
@pytest.mark.parametrize("place", [8000, 8001, 8255])
def test_it_sees_511_samples_ahead(recipe, place):
    separator = build(recipe)
    mix = noise(1, 16000)
    changed = mix.clone()
    changed[:, place:] = noise(1, 16000 - place, seed=1)
    with torch.no_grad():
        before, after = separator(mix), separator(changed)
    past = place - 511
    torch.testing.assert_close(after[..., :past], before[..., :past], rtol=0, atol=1e-7)
    assert not torch.allclose(before[..., past : past + 512], after[..., past : past + 512])


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("dpcrn", {}),
        ("dpcrn", {"window": 512, "hop": 128}),
        ("dpcrn", {"window": 400, "hop": 200}),
        ("dpcrn", {"window": 7, "hop": 3}),
        ("gtcrn_trainable", {}),
        ("gtcrn_trainable", {"window": 512, "hop": 128}),
        ("gtcrn_trainable", {"window": 400, "hop": 200, "low": 50, "bands": 31}),
        ("gtcrn_trainable", {"window": 100, "hop": 50, "low": 12, "bands": 9}),
    ],
)
@pytest.mark.parametrize("length", [1, 255, 3111])
def test_live_is_the_whole_recording(recipe, changes, length):
    separator = build(recipe, level=3, **changes)
    mix = torch.cat((noise(2, length), torch.zeros(2, 400), 5 * noise(2, 1000, seed=1)), 1)
    live = Live(separator, channels=2)
    out = [live.push(piece) for piece in mix.split(500, 1)]
    found = torch.cat([*out, live.finish()], -1)
    with torch.inference_mode():
        torch.testing.assert_close(found, separator(mix), rtol=0, atol=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_live_waits_32_milliseconds_at_most(recipe):
    for preset in (None, "small", "tiny"):
        live = Live(separators.build(recipe, preset).eval())
        assert live.latency <= 0.032 * 16000


@pytest.mark.parametrize("recipe", RECIPES)
def test_statistics_bring_the_training_set_to_mean_0_and_deviation_1(recipe):
    network = build(recipe).network
    mix = noise(2, 4000)
    with torch.no_grad():
        features, _ = network._features(network.stft.parts(mix), network.memory(2)[0])
    rows = features.transpose(1, 2).flatten(0, 1)
    imaginary = rows[:, 2]
    varies = torch.ones(rows.shape[1:], dtype=bool)
    varies[2] = imaginary.abs().amax(0) > 0
    assert varies[2, 1:-1].all()  # at 0 Hz, and in dpcrn at 8 kHz, the spectrum is real
    torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1:]), rtol=0, atol=1e-4)
    found = rows.std(0, unbiased=False)[varies]
    torch.testing.assert_close(found, torch.ones_like(found), rtol=1e-3, atol=0)

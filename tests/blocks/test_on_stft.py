"""The frame around networks over magnitudes: what comes back of masks, magnitudes, paddings."""

import pytest
import torch

from local.blocks import masks, on_stft
from local.blocks.on_stft import SpectrogramSeparator


class Given(SpectrogramSeparator):
    """Answers ``answer(magnitude)`` for both sources."""

    def __init__(self, answer, **arguments):
        super().__init__(window=64, hop=16, **arguments)
        self.answer = answer

    def estimate(self, magnitude):
        return self.answer(magnitude)


def both(first, second):
    return torch.stack((first, second), 1)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [1, 63, 1000])
def test_a_mask_of_ones_returns_the_mixture(length):
    model = Given(lambda m: both(torch.ones_like(m), torch.zeros_like(m)))
    mix = noise(3, length)
    voice, rest = model(mix).unbind(1)
    torch.testing.assert_close(voice, mix, rtol=0, atol=1e-6)
    assert not rest.any()


class Ones(torch.nn.Module):
    """Masks of 1 for two sources."""

    def forward(self, spectrum):
        return torch.ones_like(both(spectrum, spectrum))


def test_complex_masks_of_ones_return_the_mixture():
    mix = noise(3, 1000)
    estimates = on_stft.ComplexMaskSeparator(Ones(), 64, 16)(mix)
    torch.testing.assert_close(estimates, both(mix, mix), rtol=0, atol=1e-6)


def test_magnitudes_take_the_phase_of_the_mixture():
    model = Given(lambda m: both(m, 0.5 * m), output="magnitude")
    mix = noise(3, 1000) * torch.tensor([[1.0], [100.0], [0.01]])
    out = model(mix)
    torch.testing.assert_close(out[:, 0] / mix.std(), mix / mix.std(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(out[:, 1], 0.5 * out[:, 0])
    assert not model(torch.zeros(1, 1000)).any()


@pytest.mark.parametrize("output", on_stft.OUTPUTS)
def test_the_output_moves_with_the_level(output):
    model = Given(lambda m: both(m.sqrt(), torch.sigmoid(m)), output=output)
    mix = noise(2, 1000)
    for gain in (1e-5, 1e3):
        torch.testing.assert_close(model(gain * mix) / gain, model(mix), rtol=0, atol=1e-5)


@pytest.mark.parametrize("target", on_stft.TARGETS)
def test_targets_are_those_of_the_sources(target):
    model = Given(lambda m: both(torch.ones_like(m), 2 * torch.ones_like(m)), target=target)
    sources = noise(3, 2, 1000)
    mix = sources.sum(1)
    estimate, wanted = model.compared(mix, sources)
    voice, other = spectra = model.stft(sources).unbind(1)
    unit = on_stft.level(model.stft(mix).abs())
    if target == "magnitude":
        seen = model.stft(mix).abs() / unit
        torch.testing.assert_close(estimate, both(seen, 2 * seen))
        torch.testing.assert_close(wanted, both(voice.abs() / unit, other.abs() / unit))
    else:
        assert torch.equal(estimate[:, 1], torch.full_like(estimate[:, 1], 2))
        assert 0 <= wanted.min() < wanted.max() <= 1
        ideal = masks.MASKS[target](*spectra)
        inside = (ideal >= 0) & (ideal <= 1)
        assert torch.equal(wanted[inside], ideal[inside])
        assert inside.float().mean() > 0.5


def test_estimated_magnitudes_are_compared_as_they_are():
    model = Given(lambda m: both(m, 3 * m), output="magnitude")
    sources = noise(2, 2, 1000)
    estimate, wanted = model.compared(sources.sum(1), sources)
    torch.testing.assert_close(estimate[:, 1], 3 * estimate[:, 0])
    gained, _ = model.compared(10 * sources.sum(1), 10 * sources)
    torch.testing.assert_close(gained, estimate)
    assert estimate[:, 0].square().mean() == pytest.approx(1, rel=1e-4)
    assert wanted.shape == estimate.shape


def test_half_precision_of_the_network_ends_at_its_output():
    model = Given(lambda m: both(torch.sigmoid(m), torch.sigmoid(-m)).bfloat16())
    assert model(noise(1, 500)).dtype == torch.float32
    assert model.compared(noise(1, 500), noise(1, 2, 500))[0].dtype == torch.float32


@pytest.mark.parametrize("sizes", [(1, 1), (8, 4), (9, 5), (513, 7)])
def test_paddings_are_cut_off_again(sizes):
    seen = []

    def network(x):
        seen.append(x)
        return x + 1

    x = noise(2, 3, *sizes)
    assert torch.equal(on_stft.on_grid(network, x, (8, 4)), x + 1)
    padded = seen[0]
    assert padded.shape[-2] % 8 == padded.shape[-1] % 4 == 0
    assert padded.shape[-2] - sizes[0] < 8
    assert padded.shape[-1] - sizes[1] < 4
    assert padded.sum().item() == pytest.approx(x.sum().item(), abs=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [{"output": "masks"}, {"target": "wiene"}, {"output": "magnitude", "target": "wiener"},
     {"target": "complex"}],
)  # fmt: skip
def test_outputs_and_targets_that_are_none(arguments):
    with pytest.raises(ValueError, match=r"^(output|target) "):
        Given(None, **arguments)


def test_arguments_are_those_that_the_subclass_takes():
    class Wide(SpectrogramSeparator):
        def __init__(self, window=8, target="magnitude", channels=(1, 2), sample_rate=16000):
            super().__init__(window, 2, None, sample_rate, target=target, channels=channels)

    arguments = {"window": 64, "target": "wiener", "channels": [3], "sample_rate": 8000}
    model = Wide(**arguments)
    assert model.get_model_args() == arguments
    assert (len(model.stft.window), model.stft.hop) == (64, 2)

"""ISA where the truth is known."""

import sys
import warnings

import pytest
import torch

from local.model import separators
from local.training.losses import si_sdr

pytest.importorskip("sklearn")

RATE = 16000
SMALL = {"window": 256, "hop": 64, "components": 6}


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sources(seed):
    """Two tones (1, 2, time), switched on and off every 0.1 s and without clicks: each is on for
    a quarter of the time, whether the other is or not, so that they are independent."""
    slots = torch.tensor([[0, 0]] * 45 + [[0, 1]] * 15 + [[1, 0]] * 15 + [[1, 1]] * 5)
    order = torch.randperm(len(slots), generator=torch.Generator().manual_seed(seed))
    size = RATE // 10
    gates = slots[order].T.repeat_interleave(size, 1) * torch.hann_window(size).repeat(len(slots))
    time = torch.arange(gates.shape[1]) / RATE
    tones = torch.sin(2 * torch.pi * torch.tensor([[800.0], [4000.0]]) * time)
    return (gates * tones).unsqueeze(0)


def test_independent_parts_come_apart_once_the_grouping_is_learnt():
    separator = separators.build("isa", **SMALL | {"components": 2})
    with torch.no_grad():
        separator.network.fit([(sources(seed).sum(1), sources(seed)) for seed in range(20)])
        estimates = separator(sources(9).sum(1))
    assert (si_sdr(estimates, sources(9)) > 30).all()


def test_components_are_independent_and_give_the_magnitudes_back():
    """Two positive spectra with independent activations: as many components, and the same."""
    network = separators.build("isa", **SMALL).network
    generator = torch.Generator().manual_seed(0)
    spectra = torch.rand(129, 2, generator=generator).double()
    activations = torch.rand(2, 2000, generator=generator).double() ** 8  # far from Gaussian
    found, unmixing = network._components(spectra @ activations)
    assert found.shape == (129, 2)
    torch.testing.assert_close(found @ unmixing @ spectra, spectra)
    correlation = torch.corrcoef(torch.cat((unmixing @ spectra @ activations, activations)))
    best = correlation[:2, 2:].abs().amax(1)
    assert (best > 0.99).all()


def test_white_noise_gives_no_warning_and_the_same_estimate_twice():
    separator = separators.build("isa", **SMALL, iterations=2)  # too few to converge
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (separator(noise(1, RATE)) for _ in range(2))
    assert first.isfinite().all()
    assert torch.equal(first, second)


def test_level_does_not_matter_to_the_features():
    separators.build("isa", **SMALL)
    module = sys.modules["recipes.isa.model"]
    spectra, activations = noise(129, 6).abs(), noise(6, 50, seed=1)
    first = module.features(spectra, activations)
    assert first.shape == (6, module.FEATURES)
    torch.testing.assert_close(module.features(7 * spectra, activations / 3), first)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"components": 0}, "components 0"), ({"iterations": 0}, "iterations 0"),
     ({"random_state": -1}, "random_state"), ({"hop": 600}, "hop 600")],
)  # fmt: skip
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        separators.network_class("isa", "ISA")(**settings)

"""Mask formulas, written out once more in numpy, and what holds for all of them."""

import numpy as np
import pytest
import torch

from local.base import config
from local.blocks import masks

FORMULAS = {
    "binary": lambda v, n: 1.0 * (abs(v) > abs(n)),
    "ratio": lambda v, n: abs(v) / (abs(v) + abs(n)),
    "square_root_ratio": lambda v, n: abs(v) / np.hypot(abs(v), abs(n)),
    "wiener": lambda v, n: abs(v) ** 2 / (abs(v) ** 2 + abs(n) ** 2),
    "phase_sensitive": lambda v, n: abs(v) / abs(v + n) * np.cos(np.angle(v) - np.angle(v + n)),
    "complex": lambda v, n: v / (v + n),
}
OF_MAGNITUDES = ("binary", "ratio", "square_root_ratio", "wiener")


def spectra(dtype=torch.complex128, shape=(3, 5, 7)):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, *shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("name", masks.MASKS)
def test_formula(name):
    voice, noise = spectra()
    found = masks.MASKS[name](voice, noise).numpy()
    assert found.shape == (3, 2, 5, 7)
    v, n = voice.numpy(), noise.numpy()
    np.testing.assert_allclose(found[:, 0], FORMULAS[name](v, n), rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], FORMULAS[name](n, v), rtol=1e-12)


@pytest.mark.parametrize("name", OF_MAGNITUDES)
def test_magnitudes_do_as_well(name):
    voice, noise = spectra()
    of_spectra = masks.MASKS[name](voice, noise)
    torch.testing.assert_close(masks.MASKS[name](voice.abs(), noise.abs()), of_spectra)


@pytest.mark.parametrize("name", masks.MASKS)
@pytest.mark.parametrize("level", [1e-30, 1.0, 1e30])
def test_finite_at_any_level_and_where_there_is_nothing(name, level):
    voice, noise = level * spectra(torch.complex64)
    voice[0] = 0
    noise[0, 1:] = 0  # neither source
    noise[1] = -voice[1]  # they cancel
    noise[2, 0] = 0  # the voice alone
    found = masks.MASKS[name](voice, noise)
    assert found.isfinite().all()
    power = 2 if name == "square_root_ratio" else 1
    total = (found**power).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)
    alone = found[2, :, 0]
    torch.testing.assert_close(alone[0], torch.ones_like(alone[0]))
    torch.testing.assert_close(alone[1], torch.zeros_like(alone[1]))


def test_the_complex_mask_recovers_the_sources():
    sources = spectra()
    found = masks.apply(masks.complex_ratio(*sources), sources.sum(0))
    torch.testing.assert_close(found, sources.transpose(0, 1))


def test_no_real_mask_has_less_error_than_the_phase_sensitive():
    sources = spectra()

    def error(ideal):
        return (masks.apply(ideal, sources.sum(0)) - sources.transpose(0, 1)).abs().square().mean()

    best = masks.phase_sensitive(*sources)
    for name in OF_MAGNITUDES:
        assert error(masks.MASKS[name](*sources)) > error(best)
    for change in (-0.01, 0.01):
        assert error(best + change) > error(best)


def test_the_oracle_offers_every_mask():
    for name in masks.MASKS:
        assert config.read("oracle", None, {"model.mask": name})["model"]["mask"] == name

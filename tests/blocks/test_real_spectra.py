"""What networks see of a spectrum in real numbers, and complex masks on it."""

import math

import torch

from local.blocks.real_spectra import FLOOR, gain_and_turn, masked, views


def parts(*shape, seed=0):
    return torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(seed))


def test_views_are_logarithm_and_compressed_parts():
    spectrum = torch.tensor([3.0, -4.0]).view(1, 2, 1)
    log, real, imaginary = views(spectrum).flatten()
    assert math.isclose(log, math.log(5), rel_tol=1e-6)
    assert math.isclose(real, 5**0.3 * 3 / 5, rel_tol=1e-6)
    assert math.isclose(imaginary, 5**0.3 * -4 / 5, rel_tol=1e-6)


def test_views_of_silence_are_finite():
    silence = torch.zeros(1, 2, 4, requires_grad=True)
    seen = views(silence)
    seen.sum().backward()
    assert seen[:, 0].eq(math.log(FLOOR)).all()
    assert not seen[:, 1:].any()
    assert silence.grad.isfinite().all()


def test_masks_multiply_as_complex_numbers_do():
    mask, spectrum = parts(5, 3), parts(5, 3, seed=1)
    expected = torch.complex(*mask.unbind(1)) * torch.complex(*spectrum.unbind(1))
    torch.testing.assert_close(torch.complex(*masked(mask, spectrum).unbind(1)), expected)


def test_a_mask_of_gain_and_turn_starts_at_a_half_and_never_amplifies():
    torch.testing.assert_close(
        gain_and_turn(torch.zeros(1, 3, 1)).flatten(), torch.tensor([0.5, 0.0]), rtol=0, atol=1e-4
    )
    outputs = 10 * torch.randn(4, 3, 100, generator=torch.Generator().manual_seed(0))
    assert (gain_and_turn(outputs).norm(dim=1) < 1).all()
    quarter = gain_and_turn(torch.tensor([50.0, -1.0, 1.0]).view(1, 3, 1)).flatten()
    torch.testing.assert_close(quarter, torch.tensor([0.0, 1.0]), rtol=0, atol=1e-4)

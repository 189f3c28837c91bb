"""Oracle masks where the truth is known."""

import pytest
import torch

from local.base.errors import UserError
from local.blocks.masks import MASKS
from local.model import separators
from local.training.losses import si_sdr

RATE = 16000


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("alone", [0, 1])
def test_a_mask_of_ones_returns_the_mixture(mask, alone):
    sources = noise(1, 2, 5001)
    sources[:, 1 - alone] = 0
    estimates = separators.build("oracle", mask=mask)(sources.sum(1), sources)
    torch.testing.assert_close(estimates, sources, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mask", MASKS)
def test_sources_apart_in_frequency_come_apart(mask):
    time = torch.arange(RATE) / RATE
    window = torch.hann_window(RATE, periodic=False)  # no clicks: they are at all frequencies
    tones = [window * torch.sin(2 * torch.pi * frequency * time) for frequency in (500, 4000)]
    sources = torch.stack(tones).unsqueeze(0)
    estimates = separators.build("oracle", mask=mask)(sources.sum(1), sources)
    assert (si_sdr(estimates, sources) > 60).all()


def test_the_complex_mask_returns_the_sources():
    sources = noise(2, 2, 4001)
    estimates = separators.build("oracle", mask="complex")(sources.sum(1), sources)
    torch.testing.assert_close(estimates, sources, rtol=0, atol=1e-5)


def test_masks_stand_in_their_order():
    sources = noise(1, 2, RATE)

    def mean(mask):
        return si_sdr(
            separators.build("oracle", mask=mask)(sources.sum(1), sources), sources
        ).mean()

    values = [mean(mask) for mask in ("ratio", "wiener", "phase_sensitive", "complex")]
    assert values == sorted(values)


def test_references_are_needed():
    with pytest.raises(UserError, match="oracle is an oracle: it needs the references"):
        separators.build("oracle")(noise(1, 4000))


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"mask": "square_root"}, "mask"), ({"window": 256, "hop": 512}, "hop 512"),
     ({"hop": 300}, "hop 300")],
)  # fmt: skip
def test_bad_settings_are_one_line(settings, named):
    with pytest.raises(UserError, match=named):
        separators.build("oracle", **settings)

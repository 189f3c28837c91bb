"""HPSS where the truth is known."""

import pytest
import torch

from local.model import separators
from local.training.losses import si_sdr

RATE = 16000


def test_a_tone_and_clicks_come_apart():
    time = torch.arange(2 * RATE) / RATE
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * time)
    clicks = torch.zeros(2 * RATE)
    clicks[4000::8000] = 1.0
    sources = torch.stack((tone, clicks)).unsqueeze(0)
    estimates = separators.build("hpss")(sources.sum(1))
    assert (si_sdr(estimates, sources) > 15).all()


def test_the_sources_sum_to_the_mixture():
    mix = 0.1 * torch.randn(2, 5001, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(separators.build("hpss")(mix).sum(1), mix, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"harmonic": 8}, "harmonic 8"), ({"percussive": 0}, "percussive 0"), ({"hop": 1500}, "hop")],
)  # fmt: skip
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        separators.network_class("hpss", "HPSS")(**settings)

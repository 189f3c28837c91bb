"""REPET-SIM where the truth is known."""

import pytest
import torch

from local.model import separators
from local.training.losses import si_sdr

RATE = 16000
PERIOD = 4096  # samples: a multiple of the hop, so that frames repeat exactly


def noise(length, seed=0):
    return 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(seed))


def test_a_repeating_background_is_recovered():
    background = noise(PERIOD).repeat(12)
    burst = torch.zeros(12 * PERIOD)
    time = torch.arange(PERIOD) / RATE
    burst[5 * PERIOD : 6 * PERIOD] = torch.hann_window(PERIOD) * torch.sin(6000 * time)
    sources = torch.stack((burst, background)).unsqueeze(0)
    estimates = separators.build("repet_sim", distance=0.1)(sources.sum(1))
    assert (si_sdr(estimates, sources) > torch.tensor([[10.0, 20.0]])).all()


def test_what_repeats_without_end_is_all_background():
    mix = noise(PERIOD).repeat(12).unsqueeze(0)
    estimates = separators.build("repet_sim", distance=0.1)(mix)
    inside = slice(PERIOD, -PERIOD)  # the first and last frames hold zeros
    torch.testing.assert_close(estimates[:, 1, inside], mix[:, inside], rtol=0, atol=1e-4)


def test_the_median_is_that_of_a_search_frame_by_frame():
    """Against loops, on lengths that fill no block of frames."""
    generator = torch.Generator().manual_seed(0)
    magnitudes = torch.rand(2, 9, 301, generator=generator)
    settings = {"similarity": 0.8, "distance": 0.05, "count": 7, "reach": 2.0}
    network = separators.build("repet_sim", **settings).network
    distance, reach = 3, 125  # frames of 16 ms
    expected = torch.empty_like(magnitudes)
    for example, magnitude in enumerate(magnitudes):
        unit = magnitude / magnitude.norm(dim=0)
        for i in range(301):
            near = range(max(0, i - reach), min(301, i + reach + 1))
            cosines = {j: float(unit[:, i] @ unit[:, j]) for j in near}
            similar = [
                j for j in near
                if j == i or (cosines[j] >= 0.8 and cosines[j] == max(
                    cosines[k] for k in near if abs(k - j) <= distance
                ))
            ]  # fmt: skip
            similar = sorted(similar, key=lambda j: -cosines[j])[:7]
            median = magnitude[:, similar].median(1).values
            expected[example, :, i] = torch.minimum(median, magnitude[:, i])
    torch.testing.assert_close(network.background(magnitudes), expected)


def test_frames_out_of_reach_play_no_part():
    mix = noise(10 * RATE)
    changed = mix.clone()
    changed[7 * RATE :] = noise(3 * RATE, seed=1)
    separator = separators.build("repet_sim", reach=2.0)
    first, second = (separator(x.unsqueeze(0))[..., : 4 * RATE] for x in (mix, changed))
    assert torch.equal(first, second)


def test_silence_between_sounds_stays_silence():
    mix = torch.cat((noise(RATE), torch.zeros(RATE), noise(RATE, seed=1))).unsqueeze(0)
    estimates = separators.build("repet_sim", similarity=0.5)(mix)
    assert not estimates[..., RATE + 1024 : 2 * RATE - 1024].any()


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"similarity": 1.5}, "similarity 1.5"), ({"distance": -0.1}, "distance"),
     ({"count": 0}, "count 0"), ({"reach": 0.01}, "reach 0.01"), ({"hop": 1024}, "hop")],
)  # fmt: skip
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        separators.network_class("repet_sim", "REPETSim")(**settings)

"""Shares of the band above the model's: truth from energies of tones and of silence."""

import pytest
import torch

from local.model import above
from local.model.above import Above, shares

RATE = 16000
TIME = torch.arange(RATE + 77) / RATE


def tone(frequency, gain=1.0):
    return gain * torch.sin(2 * torch.pi * frequency * TIME + 1)[None]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("voice", "rest"), [(1.0, 1.0), (3.0, 1.0), (0.5, 2.0), (1.0, 0.0)])
def test_a_share_is_that_of_the_energy_in_the_upper_octave_alone(voice, rest):
    low = tone(500, 10.0)  # 20 dB and more above what counts, and not counted
    part = tone(5000, voice)
    mix = part + tone(7000, rest) + low
    found = shares(mix, part[None], RATE)
    inner = found[..., 500:-500]
    assert inner.mean().item() == pytest.approx(voice**2 / (voice**2 + rest**2), abs=5e-3)
    assert inner.std() < 0.02


def test_a_share_follows_over_time():
    half = len(TIME) // 2
    voice, rest = noise(1, len(TIME)), noise(1, len(TIME), seed=1)
    voice[:, half:], rest[:, :half] = 0, 0
    found = shares(voice + rest, voice[None], RATE)[0, 0]
    ramp = above.reach(RATE)
    assert (found[: half - ramp] > 0.999).all()
    assert (found[half + ramp :] < 0.001).all()


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 1001])
def test_any_length_and_silence(length):
    mix = noise(2, length)
    found = shares(mix, torch.stack((0 * mix, mix)), RATE)
    assert found.shape == (2, 2, length)
    assert not found[0].any()
    torch.testing.assert_close(found[1], torch.ones(2, length))
    assert not shares(0 * mix, torch.stack((mix, mix)) * 0, RATE).any()


def test_a_piece_that_starts_with_a_block_has_the_shares_of_the_whole():
    voice, rest = noise(1, 9001), noise(1, 9001, seed=1).cumsum(-1)
    whole = shares(voice + rest, voice[None], RATE)
    at, reach = 10 * above.block(RATE), above.reach(RATE)
    piece = shares((voice + rest)[:, at:5000], voice[None, :, at:5000], RATE)
    torch.testing.assert_close(piece[..., reach:-reach], whole[..., at + reach : 5000 - reach])


@pytest.mark.parametrize("way", above.WAYS)
@pytest.mark.parametrize("consistent", [True, False])
def test_what_lies_above_is_shared_out(way, consistent):
    """At twice the rate by repetition: the recording is what was heard and something above it."""
    heard = noise(2, 3000)
    estimates = torch.stack((0.75 * heard, 0.25 * heard if consistent else 0.5 * heard))
    upper = noise(2, 6000, seed=1)
    of = Above(way, consistent)
    rows = of.rows(heard, estimates, RATE).repeat_interleave(2, -1)
    found = of.settled(rows, heard.repeat_interleave(2, -1) + upper)
    parts = found - estimates.repeat_interleave(2, -1)
    # of the energy of each and of the rest: 0.75^2 against 0.25^2, 0.5^2 against 0.5^2
    follow = (0.9, 0.1 if consistent else 0.5)
    share = {"noise": (0.0, 1.0), "voice": (1.0, 0.0), "follow": follow}[way]
    expected = torch.stack([part * upper for part in share])
    torch.testing.assert_close(parts, expected, atol=1e-4, rtol=0)

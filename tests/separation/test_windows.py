"""A stream in windows gives what the whole recording gives."""

import math

import numpy as np
import pytest
import torch
from asteroid.models import BaseModel
from hypothesis import given, settings
from hypothesis import strategies as st

from local.base import audio
from local.base.errors import UserError
from local.model import separators
from local.separation import windows

settings.register_profile("here", deadline=None, max_examples=25)
settings.load_profile("here")

LENGTHS = st.integers(1, 3000)
PIECES = st.lists(st.integers(1, 900), min_size=1, max_size=8)


def split(x, sizes):
    """A signal (..., time) as a stream of pieces whose sizes are taken in turn."""
    pieces, at, turn = [], 0, 0
    while at < x.shape[-1]:
        pieces.append(x[..., at : at + sizes[turn % len(sizes)]])
        at, turn = at + pieces[-1].shape[-1], turn + 1
    return pieces


def joined(stream):
    return torch.cat(list(stream), -1)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(LENGTHS, PIECES, st.integers(1, 500), st.integers(0, 200), st.integers(0, 100))
def test_windows_of_nothing_done_are_the_signal(length, sizes, body, context, fade):
    x = noise(2, length)
    fade = min(fade, 2 * context, body)
    y = joined(windows.windowed(split(x, sizes), torch.clone, body, context, fade))
    torch.testing.assert_close(y, x, rtol=0, atol=1e-6)


@given(LENGTHS, PIECES, st.integers(50, 500), st.integers(0, 20))
def test_a_filter_shorter_than_the_context_shows_no_seams(length, sizes, body, fade):
    taps, x = noise(1, 1, 81, seed=1), noise(3, 1, length)

    def convolve(y):
        return torch.nn.functional.conv1d(y, taps, padding=40)

    y = joined(windows.windowed(split(x, sizes), convolve, body, 50, fade))
    torch.testing.assert_close(y, convolve(x), rtol=0, atol=1e-4)


def test_one_window_passes_into_the_next_in_a_straight_line():
    numbers = iter(range(10))

    def number(x):
        return torch.full_like(x, next(numbers))

    y = joined(windows.windowed(split(torch.zeros(1, 22), [22]), number, 10, 2, 4))[0]
    rise = torch.tensor([0.125, 0.375, 0.625, 0.875])
    expected = torch.cat((torch.zeros(8), rise, torch.ones(10)))
    torch.testing.assert_close(y, expected)  # the last 2 are of the second's context


@given(st.integers(1, 10**7))
def test_no_more_than_an_eighth_is_computed_twice(length):
    computed = []

    def count(x):
        computed.append(x.shape[-1])
        return x

    body, context = windows.BODY * windows.UNIT, windows.CONTEXT * windows.UNIT
    x = torch.zeros(1).expand(1, length)
    sum(y.shape[-1] for y in windows.windowed([x], count, body, context))
    assert sum(computed) <= 1.125 * length
    if length <= body + context:
        assert computed == [length]


RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000, 16001, 7999])


@settings(max_examples=15)
@given(LENGTHS, PIECES, RATES, RATES)
def test_a_stream_is_resampled_like_the_whole(length, sizes, rate, rate_out):
    size, windows.RESAMPLED = windows.RESAMPLED, 500
    try:
        x = noise(2, length)
        y = joined(windows.resampled(split(x, sizes), rate, rate_out))
    finally:
        windows.RESAMPLED = size
    expected = audio.resample(x, rate, rate_out)
    assert y.shape == expected.shape
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


class Halves(BaseModel):
    """The voice is half of what was heard a sample before; short-sighted and not consistent."""

    def __init__(self):
        super().__init__(sample_rate=16000)
        self.gain = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, mix):
        voice = self.gain * torch.nn.functional.pad(mix, (1, 0))[..., :-1]
        return torch.stack((voice, 0.25 * mix), 1)


def halves(consistency):
    return separators.Separator(Halves(), "halves", 16000, consistency).eval()


@settings(max_examples=15)
@given(st.integers(1, 5000), PIECES, RATES, RATES, st.integers(1, 3))
def test_estimates_are_as_long_as_the_mixture_and_sum_to_it(length, sizes, rate, rate_out, count):
    x = noise(count, length)
    for consistency in ("difference", "project"):
        y = joined(windows.separated(halves(consistency), lambda: split(x, sizes), rate, rate_out))
        expected = audio.resample(x, rate, rate_out)
        assert y.shape == (2, *expected.shape)
        torch.testing.assert_close(y.sum(0), expected, rtol=0, atol=1e-5)


def test_levels_are_not_touched_where_estimates_need_not_sum():
    x = noise(1, 3000)
    y = joined(windows.separated(halves("none"), lambda: [x], 16000))
    assert torch.equal(y[1], 0.25 * x)
    tone = torch.sin(torch.arange(48000) * 0.05).unsqueeze(0)
    y = joined(windows.separated(halves("none"), lambda: [tone], 48000))
    assert y[0, :, 5000:-5000].abs().max() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_short_recording_is_separated_as_in_evaluation(rate):
    separator = separators.build("blstm_complex", "tiny")
    x = noise(1, 3 * rate + 1) / 5
    y = joined(windows.separated(separator, lambda: [x], rate))
    expected = separators.separate(separator, x[0].numpy(), rate)
    np.testing.assert_allclose(y[0, 0].numpy(), expected[0], atol=1e-7)
    if rate == 16000:
        np.testing.assert_array_equal(y[:, 0].numpy(), expected)


def test_a_network_whose_sight_fits_the_context_is_the_same_to_50_db(monkeypatch):
    """Conv-TasNet with a norm per frame sees 2 * 3 * (2^5 - 1) frames around each."""
    separator = separators.build(
        "convtasnet", "tiny", norm_type="cLN", n_filters=16, bn_chan=8, hid_chan=16, skip_chan=8,
        n_blocks=5, n_repeats=2,
    )  # fmt: skip
    monkeypatch.setattr(windows, "BODY", 2)
    x = noise(1, 7 * windows.UNIT + 12345) / 10
    with torch.inference_mode():
        whole = separator(x).transpose(0, 1)
    pieces = joined(windows.separated(separator, lambda: split(x, [50000]), 16000))
    assert (pieces - whole).square().sum() < 1e-5 * whole.square().sum()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite(wrong):
    x = torch.zeros(2, 40000)
    x[1, 24000] = wrong
    with pytest.raises(UserError, match=r"NaN or infinite, the first at 1\.500 s"):
        joined(windows.separated(halves("none"), lambda: split(x, [7000]), 16000))


def test_estimates_that_are_not_finite():
    separator = halves("none")
    separator.network.gain.data.fill_(math.nan)
    with pytest.raises(UserError, match="halves gives samples that are not finite"):
        joined(windows.separated(separator, lambda: [torch.zeros(1, 100)], 16000))

"""One path for what is scored and what is used: any rate, any length, piece by piece."""

import math

import numpy as np
import pytest
import torch
from asteroid.models import BaseModel
from hypothesis import given, settings
from hypothesis import strategies as st

from local.base import audio
from local.base.errors import UserError
from local.model import above, separators, windows
from local.separate import separate

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


class Shares(torch.nn.Module):
    """Half of what is heard is voice, a quarter noise."""

    def forward(self, mix):
        return torch.stack((mix / 2, mix / 4), 1)


class Given(torch.nn.Module):
    """An oracle that gives back its references."""

    needs_sources = True

    def forward(self, mix, sources):
        return sources.clone()


def halves(consistency):
    return separators.Separator(Halves(), "halves", 16000, consistency).eval()


@settings(max_examples=15)
@given(st.integers(1, 5000), PIECES, RATES, RATES, st.integers(1, 3))
def test_estimates_are_as_long_as_the_mixture_and_sum_to_it(length, sizes, rate, rate_out, count):
    x = noise(count, length)
    for consistency in ("difference", "project"):
        y = joined(
            windows.estimate_stream(halves(consistency), lambda: split(x, sizes), rate, rate_out)
        )
        expected = audio.resample(x, rate, rate_out)
        assert y.shape == (2, *expected.shape)
        torch.testing.assert_close(y.sum(0), expected, rtol=0, atol=1e-5)


def test_levels_are_not_touched_where_estimates_need_not_sum():
    x = noise(1, 3000)
    y = joined(windows.estimate_stream(halves("none"), lambda: [x], 16000))
    assert torch.equal(y[1], 0.25 * x)
    tone = torch.sin(torch.arange(48000) * 0.05).unsqueeze(0)
    y = joined(windows.estimate_stream(halves("none"), lambda: [tone], 48000))
    assert y[0, :, 5000:-5000].abs().max() == pytest.approx(0.5, abs=1e-3)


def test_a_short_recording_at_the_models_rate_goes_through_whole():
    separator = separators.build("blstm_complex", "tiny")
    x = noise(1, 48001) / 5
    with torch.inference_mode():
        expected = separator(x)[0].numpy()
    np.testing.assert_array_equal(windows.estimate(separator, x[0].numpy(), 16000), expected)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("oracle", [False, True])
def test_what_the_model_cannot_hear_is_noise(rate, oracle):
    """Two tones; the network, at 16 kHz, has half of what it hears as voice, a quarter as noise.

    The eighth that is lacking to each comes by projection. The oracle is given its references.
    """
    time = np.arange(2 * rate + 1) / rate
    low, high = (np.sin(2 * np.pi * f * time + 1) * (rate > 2 * f) for f in (1000, 12000))
    separator = separators.Separator(Given() if oracle else Shares(), "toy", 16000, "project")
    sources = np.stack((0.25 * low, 0.75 * low + high)) if oracle else None
    share = 0.25 if oracle else 0.625
    estimates = windows.estimate(separator.eval(), low + high, rate, sources, "noise")
    expected = np.stack((share * low, (1 - share) * low + high))
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(estimates[:, inner], expected[:, inner], atol=2e-3)
    np.testing.assert_allclose(estimates.sum(0), low + high, atol=2e-6)


@pytest.mark.parametrize("way", above.WAYS)
@pytest.mark.parametrize("consistency", ["project", "none"])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_what_the_model_cannot_hear_is_shared_out(rate, consistency, way):
    """A tone of the upper octave, of which half and a quarter are estimated, and one above it."""
    time = np.arange(rate + 1) / rate
    low, high = (np.sin(2 * np.pi * f * time + 1) for f in (6000, 12000))
    separator = separators.Separator(Shares(), "toy", 16000, consistency).eval()
    heard = np.array((0.5, 0.25) if consistency == "none" else (0.625, 0.375))
    energy = heard**2
    follow = energy / (energy + (1 - heard) ** 2)
    upper = {"noise": (0, 1), "voice": (1, 0), "follow": follow}[way]
    estimates = windows.estimate(separator, low + high, rate, way=way)
    expected = np.outer(heard, low) + np.outer(upper, high)
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(estimates[:, inner], expected[:, inner], atol=4e-3)
    if consistency != "none":
        np.testing.assert_allclose(estimates.sum(0), low + high, atol=2e-6)


def test_shares_of_a_long_recording_are_those_of_the_whole(monkeypatch):
    x = noise(2, 7 * 3 * windows.UNIT + 12345) / 10
    x[:, : len(x[0]) // 2] *= torch.linspace(1, 0, len(x[0]) // 2)
    whole = joined(windows.estimate_stream(halves("project"), lambda: [x], 48000))
    monkeypatch.setattr(windows, "BODY", 2)
    pieces = joined(windows.estimate_stream(halves("project"), lambda: split(x, [50000]), 48000))
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_white_noise_is_separated_without_loss_and_as_it_is_scored(rate):
    separator = separators.build("convtasnet", "tiny")
    x = noise(rate + 1).numpy() / 5
    estimates = windows.estimate(separator, x, rate)
    lost = np.square(estimates.sum(0) - x, dtype=float).sum() / np.square(x, dtype=float).sum()
    assert 10 * np.log10(lost) < -120
    used = separate(x, rate, separator, "cpu")
    np.testing.assert_array_equal(estimates, np.stack([used["voice"], used["noise"]]))


def test_references_go_along_with_the_windows():
    sources = noise(2, 30 * windows.UNIT + 7).numpy()
    oracle = separators.Separator(Given(), "given", 16000).eval()
    estimates = windows.estimate(oracle, sources.sum(0), 16000, sources)
    np.testing.assert_allclose(estimates, sources, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 441, 44101])
def test_another_rate_keeps_the_length(length):
    separator = separators.build("convtasnet", "tiny")
    separator.sample_rate = 8000
    out = windows.estimate(separator, np.ones(length), 44100)
    assert out.shape == (2, length)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()


@pytest.mark.parametrize("rate", [8000, 44100, 16000, 11025])
def test_resampling_there_and_back(rate):
    separator = separators.Separator(Shares(), "shares", 8000).eval()
    time = np.arange(rate + 1) / rate
    mix = np.sin(2 * np.pi * 1000 * time + 1)
    out = windows.estimate(separator, mix, rate)
    middle = slice(rate // 10, -rate // 10)
    for estimate, share in zip(out, (0.5, 0.25), strict=True):
        np.testing.assert_allclose(estimate[middle], share * mix[middle], atol=2e-3)


def test_estimates_are_not_rescaled_and_the_input_is_not_touched():
    separator = separators.Separator(Shares(), "shares", 16000).eval()
    mix = np.linspace(-1e4, 1e4, 999)[::-1]
    kept = mix.copy()
    out = windows.estimate(separator, mix, 16000)
    np.testing.assert_allclose(out, np.stack([mix / 2, mix / 4]), rtol=1e-6)
    np.testing.assert_array_equal(mix, kept)


def test_silence_stays_silent():
    separator = separators.build("convtasnet", "tiny")
    assert not windows.estimate(separator, np.zeros(777, np.float32), 16000).any()


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
    pieces = joined(windows.estimate_stream(separator, lambda: split(x, [50000]), 16000))
    assert (pieces - whole).square().sum() < 1e-5 * whole.square().sum()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite(wrong):
    x = torch.zeros(2, 40000)
    x[1, 24000] = wrong
    with pytest.raises(UserError, match=r"NaN or infinite, the first at 1\.500 s"):
        joined(windows.estimate_finite(halves("none"), lambda: split(x, [7000]), 16000))


def test_estimates_that_are_not_finite():
    separator = halves("none")
    separator.network.gain.data.fill_(math.nan)
    with pytest.raises(UserError, match="halves gives NaN or infinite samples"):
        joined(windows.estimate_finite(separator, lambda: [torch.zeros(1, 100)], 16000))

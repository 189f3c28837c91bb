"""Gain rules where algebra tells the gain."""

import numpy as np
import pytest
import torch
from scipy.special import exp1

from local.blocks import spectral_gains
from local.blocks.spectral_gains import DecisionDirected, Subtraction

RULES = [
    Subtraction(),
    Subtraction("magnitude"),
    DecisionDirected(),
    DecisionDirected("logmmse"),
]
NAMES = ["power", "magnitude", "wiener", "logmmse"]


def powers(*shape, seed=0):
    """Powers of a mixture and of its noise, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, *shape, generator=generator, dtype=torch.float64) * torch.tensor(
        [10.0, 1.0], dtype=torch.float64
    ).reshape(2, *[1] * len(shape))


def constant(snr, shape=(3, 60)):
    """A mixture ``snr`` (a ratio of powers) above its noise, everywhere."""
    return torch.full(shape, 2.0 * snr, dtype=torch.float64), torch.full(shape, 2.0).double()


@pytest.mark.parametrize(
    ("snr_db", "factor"), [(-20, 4.75), (-5, 4.75), (0, 4.0), (10, 2.5), (20, 1.0), (40, 1.0)]
)
def test_subtraction_takes_off_what_berouti_says(snr_db, factor):
    power, noise = constant(10 ** (snr_db / 10))
    left = max(power[0, 0] - factor * noise[0, 0], 0.01 * noise[0, 0])
    expected = torch.full_like(power, float(min(left / power[0, 0], 1)) ** 0.5)
    torch.testing.assert_close(Subtraction()(power, noise), expected)


def test_subtraction_of_magnitudes():
    power, noise = constant(10.0)
    expected = 1 - 2.5 * 10**-0.5  # by amplitudes, and 2.5 times at 10 dB
    found = Subtraction("magnitude", floor=0.0)(power, noise)
    torch.testing.assert_close(found, torch.full_like(found, expected))


def test_subtraction_by_frame():
    """A frame's factor is that of its own SNR over all frequencies."""
    power, noise = constant(1.0, (2, 3))
    power[:, 1] = torch.tensor([198.0, 2.0])  # together 200, over 2 + 2
    snr = 10 * np.log10(200 / 4)
    factor = 4 - 0.15 * snr
    found = Subtraction()(power, noise)
    np.testing.assert_allclose(found[0, 1] ** 2, 1 - factor * 2 / 198)
    np.testing.assert_allclose(found[1, 1] ** 2, 0.01)
    np.testing.assert_allclose(found[:, [0, 2]] ** 2, 0.01)


@pytest.mark.parametrize("gain", ["wiener", "logmmse"])
@pytest.mark.parametrize("snr", [1.5, 4.0, 100.0])
def test_without_smoothing_the_gain_is_that_of_the_frame(gain, snr):
    power, noise = constant(snr)
    expected = (snr - 1) / snr  # the a-priori SNR is snr - 1
    if gain == "logmmse":
        expected *= np.exp(exp1(snr - 1) / 2)
    found = DecisionDirected(gain, smoothing=0.0)(power, noise)
    torch.testing.assert_close(found, torch.full_like(found, min(expected, 1)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("snr", [2.0, 30.0])
def test_wiener_settles_where_the_rule_holds_itself_up(snr):
    power, noise = constant(snr, (1, 3000))
    gain = DecisionDirected()(power, noise)[0, -1].item()
    prior = gain / (1 - gain)
    assert prior == pytest.approx(0.98 * gain**2 * snr + 0.02 * (snr - 1), rel=1e-6)


def test_a_noise_alone_gets_the_floor():
    power, noise = constant(0.5)
    found = DecisionDirected("wiener", 0.9, -20.0)(power, noise)
    assert found[0, -1].item() == pytest.approx(0.01 / 1.01)


def test_the_exponential_integral():
    x = np.logspace(-12, 2.5, 300)
    found = [2 * np.log(spectral_gains.half_integral(value)) for value in x]
    np.testing.assert_allclose(found, exp1(x), atol=3e-7)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_shapes_and_range(rule):
    power, noise = powers(2, 3, 5, 7)
    found = rule(power, noise)
    assert found.shape == power.shape
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert rule(power.float(), noise.float()).dtype == torch.float32
    for i in range(2):
        torch.testing.assert_close(found[i, 1], rule(power[i, 1], noise[i, 1]))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_only_the_ratio_counts(rule):
    power, noise = powers(5, 7)
    torch.testing.assert_close(rule(1e6 * power, 1e6 * noise), rule(power, noise))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_finite_where_there_is_nothing(rule):
    power, noise = powers(4, 9)
    power[0], noise[0] = 0, 0
    power[1] = 0
    noise[2] = 0
    for dtype in (torch.float32, torch.float64):
        found = rule(power.to(dtype), noise.to(dtype))
        assert found.isfinite().all()
        torch.testing.assert_close(found[2], torch.ones(9, dtype=dtype))


@pytest.mark.parametrize("rule", RULES[2:], ids=NAMES[2:])
def test_the_same_without_compiled_code(rule, monkeypatch):
    power, noise = powers(5, 7)
    compiled = rule(power, noise)
    monkeypatch.setattr(spectral_gains, "compiled", lambda function: None)
    torch.testing.assert_close(rule(power, noise), compiled, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Subtraction("amplitude"), "domain"),
        (lambda: Subtraction(over_subtraction=0.5), "over_subtraction"),
        (lambda: Subtraction(floor=1.5), "floor"),
        (lambda: Subtraction(floor=float("nan")), "floor"),
        (lambda: DecisionDirected("kalman"), "gain"),
        (lambda: DecisionDirected(smoothing=1.0), "smoothing"),
        (lambda: DecisionDirected(smoothing=-0.1), "smoothing"),
        (lambda: DecisionDirected(floor_db=float("nan")), "floor_db"),
    ],
)
def test_bad_settings(make, named):
    with pytest.raises(ValueError, match=named):
        make()

"""Facts of the paper on DPTNet (Chen, Mao and Liu 2020)."""

from local.model import separators


def test_parameters_are_those_of_the_layers():
    features, hidden, filters, kernel = 64, 128, 64, 16
    attention = 4 * (features * features + features)
    lstm = 2 * 4 * hidden * (features + hidden + 2)
    layer = attention + lstm + (2 * hidden * features + features) + 2 * 2 * features
    expected = (
        2 * filters * kernel
        + 2 * filters
        + 6 * 2 * layer
        + 1 + (features * 2 * features + 2 * features)
        + 2 * (features * features + features)
    )  # fmt: skip
    assert separators.count_parameters(separators.build("dptnet")) == expected
    assert round(expected / 1e6, 1) == 2.8


def test_small_costs_a_third_of_what_it_did():
    """0.47 G a second with an STFT, more than any other small preset: 40 minutes were few steps."""
    assert separators.count_macs(separators.build("dptnet", "small")) < 0.47e9 / 3

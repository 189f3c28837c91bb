"""Spectrograms: a sine is where it is, and anything can be drawn."""

import numpy as np
import pandas
import pytest

from local.reporting import figures


@pytest.mark.parametrize("length", [1, 7, 300, 20000])
def test_spectrograms_of_any_length_put_a_sine_where_it_is(length):
    rate, frequency = 8000, 1000
    x = np.sin(2 * np.pi * frequency * np.arange(length) / rate)
    power = figures.spectrogram(x, rate)
    assert 1 <= power.shape[1] <= 2 * figures.COLUMNS
    if length > 1000:
        middle = power[:, power.shape[1] // 2]
        assert middle.argmax() == round(frequency * figures.WINDOW)
        assert middle.max() == pytest.approx(0, abs=0.1)


def test_silence_and_nan_can_be_drawn(tmp_path):
    sources = np.zeros((2, 400), np.float32)
    broken = np.full((2, 400), np.nan, np.float32)
    figure = figures.spectrograms(sources[0], sources, {"estimate": broken}, 8000)
    figures.write(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_mean_outside_its_interval_by_rounding_can_be_drawn():
    """The bootstrap of scores that are all alike is off by the last digit."""
    row = {"source": "voice", "system": "ant", "line": False, "parameters": 5.0, "mean": 7.3,
           "ci_low": np.nextafter(7.3, 8), "ci_high": np.nextafter(7.3, 7)}  # fmt: skip
    figure = figures.quality_against_cost(pandas.DataFrame([row]), "si_sdr", {"parameters": "p"})
    [bars] = figure.axes[0].collections
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], 7.3, rtol=1e-12)

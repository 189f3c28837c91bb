"""Facts of the paper on the TasNet of LSTMs (Luo and Mesgarani 2018)."""

import pytest
import torch

from local.model import separators


@pytest.mark.parametrize(
    ("overrides", "directions", "published"),
    [({}, 2, 23.6e6), ({"bidirectional": False, "hid_size": 1000}, 1, 32.0e6)],
)
def test_parameters_are_near_the_published_ones(overrides, directions, published):
    filters, kernel, hidden = 500, 80, 1000 // directions
    first = 4 * hidden * (filters + hidden + 2)
    later = 4 * hidden * (1000 + hidden + 2)
    expected = (
        3 * filters * kernel  # two analysis filterbanks, one of synthesis
        + 2 * filters
        + directions * (first + 3 * later)
        + (1000 * 2 * filters + 2 * filters)
    )
    assert separators.count_parameters(separators.build("lstm_tasnet", **overrides)) == expected
    assert expected == pytest.approx(published, rel=0.03)  # no paper says how they count


def test_encoder_is_not_negative():
    """The masks weigh non-negative frames: a ReLU gated by a sigmoid."""
    network = separators.build("lstm_tasnet", "tiny").network
    with torch.no_grad():
        frames = network.forward_encoder(torch.randn(1, 1, 4000))
    assert frames.min() == 0
    assert frames.max() > 0


def test_one_direction_hears_no_future():
    separator = separators.build("lstm_tasnet", "tiny", bidirectional=False)
    mix = torch.randn(1, 6000)
    later = mix.clone()
    later[:, 3000:] += 1
    kernel = separator.network.encoder.filterbank.kernel_size
    with torch.no_grad():
        before, after = separator(mix), separator(later)
    assert torch.equal(before[..., : 3001 - kernel], after[..., : 3001 - kernel])
    assert not torch.equal(before[..., 3000:], after[..., 3000:])

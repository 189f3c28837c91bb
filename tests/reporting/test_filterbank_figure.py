"""The picture of a learnt filterbank: its responses, their order, their cut-offs."""

import numpy as np
import torch
from asteroid_filterbanks import Filterbank

from local.base import config, disk
from local.base.experiment import Experiment
from local.model import checkpoint, separators
from local.reporting import filterbank_figure

SMALL = {"n_blocks": 1, "n_repeats": 1, "bn_chan": 2, "hid_chan": 2, "skip_chan": 2,
         "n_filters": 64, "kernel_size": 32, "stride": 16}  # fmt: skip


class Tones(Filterbank):
    """A long window times tones, given in Hz."""

    def __init__(self, *frequencies):
        super().__init__(len(frequencies), 800, 400, 8000)
        times = torch.arange(800) / 8000
        window = torch.hann_window(800, periodic=False)
        self.values = torch.stack([torch.cos(2 * torch.pi * f * times) for f in frequencies])
        self.values = (self.values * window).unsqueeze(1)

    def filters(self):
        return self.values


def test_responses_are_sorted_by_centre_and_relative_to_the_peak():
    gains = filterbank_figure.responses(Tones(3000, 1000, 2000))
    step = 4000 / (filterbank_figure.POINTS - 1)
    np.testing.assert_allclose(gains.argmax(1) * step, [1000, 2000, 3000], atol=step)
    assert gains.max(1).tolist() == [0, 0, 0]


def test_cut_offs_are_six_db_below_the_peak():
    gains = filterbank_figure.responses(Tones(1000, 0))
    edges = filterbank_figure.cut_offs(gains) * 4000 / (filterbank_figure.POINTS - 1)
    # a Hann window of 0.1 s is 6 dB down 10 Hz from its middle
    np.testing.assert_allclose(edges, [[0, 10], [990, 1010]], atol=4)


def experiment(folder, **model):
    """A trained experiment of a few filters, and its separator."""
    model = SMALL | model
    conf = config.read("convtasnet", "tiny", {f"model.{key}": v for key, v in model.items()})
    folder.mkdir()
    disk.write_yaml(folder / "conf.yml", conf)
    separator = separators.construct(conf, "convtasnet")
    with torch.no_grad():
        for parameter in separator.network.encoder.parameters():
            parameter.mul_(1.5)
    checkpoint.save(folder / "best_model.pth", separator, {})
    return Experiment(folder)


def test_a_learnt_filterbank_is_shown_before_and_after(tmp_path):
    figure = filterbank_figure.learnt(experiment(tmp_path / "a", fb_name="gabor"))
    before, after, *_ = figure.axes
    assert (before.get_title("left"), after.get_title("left")) == (
        "before training",
        "after training",
    )
    pictures = [panel.images[0].get_array() for panel in (before, after)]
    assert pictures[0].shape == (filterbank_figure.POINTS, 64)
    assert not np.array_equal(*pictures)


def test_one_that_does_not_learn_is_not_shown(tmp_path):
    assert filterbank_figure.learnt(experiment(tmp_path / "b", fb_name="stft")) is None
    other = Experiment(tmp_path / "c")
    (tmp_path / "c").mkdir()
    disk.write_yaml(other.conf_path, {"seed": 0, "model": {}})
    assert filterbank_figure.learnt(other) is None

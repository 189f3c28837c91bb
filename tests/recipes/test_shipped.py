"""The weights in the repository: they load, do what they are there for, and say what they are."""

import re

import pytest
import torch
import triplet_trees

from local import ROOT
from local.base import disk, experiment
from local.model import pretrained, separators
from local.separation.live import Live
from local.training.losses import si_sdr

WEIGHTS = sorted((ROOT / "recipes").glob("*/pretrained/*.pth"))
MOST_BYTES = 10e6  # all together


def test_every_use_has_weights():
    uses = disk.read_yaml(ROOT / "recipes" / "shipped.yml")
    assert set(uses) == {"default", "live"}
    assert {path.parent.parent.name for path in WEIGHTS} == set(uses.values())


def test_they_are_small():
    assert sum(path.stat().st_size for path in WEIGHTS) <= MOST_BYTES


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.parent.parent.name)
def test_a_card_says_where_they_come_from(path):
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    training = separators.load(path).infos["provenance"]
    assert training["commit"] in card
    assert "dirty" not in training["commit"]
    for start in experiment.starts(training):  # the weights before these, and how they were made
        assert start["sha256"][:12] in card
    for heading in ("trained on", "How", "Scores", "bad at"):
        assert re.search(f"^## .*{heading}", card, re.MULTILINE), heading


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.parent.parent.name)
def test_they_improve_what_they_never_heard(path):
    """A buzz is no voice; still it is more of one than the noise is."""
    separator = pretrained.open_model(path)
    voice, noise = (
        torch.from_numpy(x / 32768.0).float()
        for x in triplet_trees.signals(0, 2 * separator.sample_rate, separator.sample_rate)
    )
    noise *= voice.norm() / noise.norm()
    sources = torch.stack((voice, noise)).unsqueeze(0)
    mix = sources.sum(1)
    with torch.inference_mode():
        estimates = separator(mix)
    torch.testing.assert_close(estimates.sum(1), mix, rtol=0, atol=1e-5)
    gain = si_sdr(estimates, sources) - si_sdr(mix.unsqueeze(1), sources)
    assert gain.min() > 0


def test_the_live_one_runs_live():
    separator = pretrained.open_model(pretrained.default("live"))
    mix = 0.1 * torch.randn(1, 8001, generator=torch.Generator().manual_seed(0))
    live = Live(separator)
    pieces = [live.push(piece) for piece in mix.split(333, 1)]
    estimates = torch.cat((*pieces, live.finish()), -1)
    with torch.inference_mode():
        torch.testing.assert_close(estimates, separator(mix), rtol=0, atol=1e-5)

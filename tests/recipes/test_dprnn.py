"""Facts of the paper on the dual-path RNN (Luo, Chen and Yoshioka 2020)."""

import math

import torch

from local.base import config
from local.model import separators


def test_parameters_are_the_papers():
    features, hidden, filters, kernel = 64, 128, 64, 16
    lstm = 2 * 4 * hidden * (features + hidden + 2)  # two directions, four gates, two biases
    path = lstm + (2 * hidden * features + features) + 2 * features
    expected = (
        2 * filters * kernel
        + 2 * filters + (filters * features + features)
        + 6 * 2 * path
        + 1 + (features * 2 * features + 2 * features)
        + 2 * (features * features + features) + features * filters
    )  # fmt: skip
    assert separators.count_parameters(separators.build("dprnn")) == expected
    assert round(expected / 1e6, 1) == 2.6


def test_chunks_follow_the_papers_rule():
    """The length of a chunk is near sqrt(2 L): both LSTMs then see sequences as short as can be."""
    conf = config.read("dprnn")
    model, data = conf["model"], conf["data"]
    samples = data["segment"] * data["sample_rate"]
    frames = (samples - model["kernel_size"]) // model["stride"] + 1
    assert abs(model["chunk_size"] - math.sqrt(2 * frames)) < 1
    assert model["hop_size"] == model["chunk_size"] / 2


def test_one_direction_across_chunks_looks_one_chunk_ahead():
    separator = separators.build("dprnn", "tiny", bidirectional=False, norm_type="cLN")
    masker, bank = separator.network.masker, separator.network.encoder.filterbank
    ahead = masker.chunk_size * bank.stride + bank.kernel_size
    mix = torch.randn(1, 6000)
    later = mix.clone()
    later[:, 3000:] += 1
    with torch.no_grad():
        before, after = separator(mix), separator(later)
    assert torch.equal(before[..., : 3000 - ahead], after[..., : 3000 - ahead])
    assert not torch.equal(before[..., :3000], after[..., :3000])

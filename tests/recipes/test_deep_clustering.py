"""Deep clustering: its layers, its loss by all pairs, which cluster is the voice, separation."""

import pytest
import torch

from local.model import separators
from local.training.losses import si_sdr

SMALL = {"window": 256, "hop": 64, "hidden_size": 24, "embedding_size": 5}


def build(**changes):
    return separators.build("deep_clustering", "tiny", **{**SMALL, **changes})


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lstm_parameters(inputs, hidden):
    """Both directions of one layer: four gates of weights and two biases."""
    return 2 * 4 * hidden * (inputs + hidden + 2)


@pytest.mark.parametrize(("window", "bins"), [(256, 129), (1024, 513)])
def test_parameters_are_those_of_the_layers(window, bins):
    """Hershey et al. 2016: 2 layers of 600 cells, then 40 dimensions for each of 129 bins."""
    expected = lstm_parameters(bins, 600) + lstm_parameters(1200, 600) + 1201 * bins * 40
    network_type = separators.network_class("deep_clustering", "DeepClustering")
    with torch.device("meta"):
        network = network_type(window=window, hop=window // 4)
        chimera = network_type(window=window, hop=window // 4, mask_share=0.5)
    sizes = [sum(p.numel() for p in x.parameters()) for x in (network, chimera)]
    assert sizes == [expected, expected + 1201 * bins * 2]


# ---------------------------------------------------------------- the loss


@pytest.mark.parametrize("weighted", [False, True])
def test_the_affinity_is_that_of_all_pairs(weighted):
    network = build(weighted=weighted).network
    sources = noise(2, 2, 2000) * torch.tensor([[[1.0], [0.3]], [[0.1], [1.0]]])
    mix = sources.sum(1)
    with torch.no_grad():
        loss, _ = network.loss(mix, sources)
        expected = []
        for i in range(2):
            spectra, magnitude = network.stft(sources[i]), network.stft(mix[i]).abs()
            points = network._embeddings(
                network._hidden((magnitude / magnitude.square().mean().sqrt()).unsqueeze(0))
            )[0]
            heard = (magnitude > 0.01 * magnitude.max()).T.flatten()
            voice = (spectra[0].abs() > spectra[1].abs()).T.flatten()[heard]
            same = (voice[:, None] == voice[None]).float()
            affinity = points[heard] @ points[heard].T
            weights = magnitude.T.flatten()[heard] if weighted else torch.ones_like(voice.float())
            pairs = weights[:, None] * weights[None] / weights.sum().square()
            expected.append((pairs * (affinity - same).square()).sum())
    torch.testing.assert_close(loss, torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("silent", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("mask_share", [0.0, 0.5])
def test_one_source_or_none_is_no_error(silent, mask_share):
    network = build(mask_share=mask_share).network.train()
    sources = noise(1, 2, 2000)
    sources[:, silent] = 0
    before = network.centroids.clone()
    loss, _ = network.loss(sources.sum(1), sources)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    for i in silent:  # what is not there teaches nothing
        assert torch.equal(network.centroids[i], before[i])


def test_silent_bins_have_no_weight():
    network = build(weighted=False).network
    magnitude = torch.tensor([[[1.0, 0.011, 0.009, 0.0]]])
    assert network._weights(magnitude).tolist() == [[1, 1, 0, 0]]
    loud = build(weighted=True).network._weights(magnitude)
    torch.testing.assert_close(loud, torch.tensor([[1.0, 0.011, 0, 0]]))
    assert network._weights(torch.zeros(1, 2, 2)).tolist() == [[0, 0, 0, 0]]


def test_embeddings_have_length_1():
    network = build().network
    with torch.no_grad():
        points = network._embeddings(network._hidden(noise(2, 129, 7).abs()))
    assert points.shape == (2, 7 * 129, 5)
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(2, 7 * 129))


def test_the_magnitude_term_is_that_of_the_masks():
    network = build(mask_share=0.25).network
    sources = noise(2, 2, 2000)
    with torch.no_grad():
        total, terms = network.loss(sources.sum(1), sources)
        estimate, wanted = network.compared(sources.sum(1), sources)
    torch.testing.assert_close(terms["magnitude"], (estimate - wanted).abs().mean())
    torch.testing.assert_close(total, 0.75 * terms["affinity"] + 0.25 * terms["magnitude"])


# ---------------------------------------------------------------- separation


def apart(*seeds, length=3000):
    """mix (batch, time), sources (batch, source, time): tones, of the voice below 1.5 kHz, of the
    noise above 4.5 kHz."""
    time = torch.arange(length) / 16000
    examples = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        tones = torch.rand(2, 4, 1, generator=generator)  # source, tone
        tones = torch.tensor([200.0, 4500.0])[:, None, None] + 1300 * tones
        examples.append(0.1 * torch.sin(2 * torch.pi * tones * time).sum(1))
    sources = torch.stack(examples)
    return sources.sum(1), sources


@pytest.mark.parametrize("mask_share", [0.0, 0.5])
def test_sources_that_never_overlap_are_separated(mask_share):
    separator = build(mask_share=mask_share)
    network = separator.network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(60):
        loss, _ = network.loss(*apart(*range(8 * step, 8 * step + 8)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    separator.eval()
    followed = network.centroids.clone()
    with torch.no_grad():
        network.centroids.zero_()
        network.fit([apart(0, 1), apart(2, 3)])
        mix, sources = apart(1000, 1001)
        estimates = separator(mix)
        alone = separator(sources[:, 0])
    assert si_sdr(estimates, sources).min() > 25
    assert si_sdr(alone[:, 0], sources[:, 0]).min() > 25
    torch.testing.assert_close(estimates.sum(1), mix, rtol=0, atol=1e-5)
    if mask_share == 0:
        # what training followed is where they are in the end
        assert torch.linalg.vector_norm(followed - network.centroids) < 0.2
        with torch.no_grad():
            network.centroids.copy_(network.centroids.flip(0))
            torch.testing.assert_close(separator(mix), estimates.flip(1), rtol=0, atol=1e-5)


def test_fit_is_the_mean_over_the_bins_of_each_source():
    network = build().network
    batches = [apart(0), apart(1, 2)]
    with torch.no_grad():
        network.fit(batches)
        whole = network.centroids.clone()
        network.centroids.fill_(9)
        network.fit([apart(0, 1, 2)])
    torch.testing.assert_close(whole, network.centroids, rtol=1e-4, atol=1e-5)
    assert (whole.norm(dim=-1) <= 1).all()


@pytest.mark.parametrize("mask_share", [0.0, 0.5])
def test_masks_share_out_every_bin(mask_share):
    network = build(mask_share=mask_share).network
    with torch.no_grad():
        masks = network.estimate(noise(2, 129, 9).abs())
    assert masks.shape == (2, 2, 129, 9)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 129, 9))
    assert masks.min() >= 0
    if not mask_share:
        assert set(masks.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("changes", [{"embedding_size": 1}, {"mask_share": 1.0}])
def test_settings_that_cannot_be(changes):
    arguments = {**SMALL, **changes}
    network_type = separators.network_class("deep_clustering", "DeepClustering")
    with pytest.raises(ValueError, match=next(iter(changes))):
        network_type(**arguments)

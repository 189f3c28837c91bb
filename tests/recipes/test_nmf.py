"""NMF where the truth is known: what its updates must not do, and sources it must find."""

import sys

import pytest
import torch

from local.model import separators
from local.training.losses import si_sdr

RATE = 16000
SMALL = {"window": 256, "hop": 64, "voice_components": 4, "noise_components": 4}


@pytest.fixture(scope="module")
def nmf():
    """The functions of model.py."""
    separators.build("nmf", **SMALL)
    return sys.modules["recipes.nmf.model"]


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def tones(frequencies, seed, seconds=2.0):
    """Tones (time,), each switched on and off by itself every 0.1 s, without clicks."""
    count = int(seconds * 10)
    time = torch.arange(count * RATE // 10) / RATE
    size = RATE // 10
    smooth = torch.hann_window(size).repeat(count)
    switches = (random(len(frequencies), count, seed=seed) < 0.5).float()
    gates = switches.repeat_interleave(size, 1) * smooth
    carriers = torch.sin(2 * torch.pi * torch.tensor(frequencies).unsqueeze(1) * time)
    return (gates * carriers).sum(0)


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 5.0])
def test_the_objective_never_rises(nmf, sparsity, adapt):
    magnitudes = random(2, 21, 30) ** 3
    start, _ = nmf.unit(random(2, 21, 5, seed=1))
    values = torch.stack([
        nmf.objective(magnitudes, *nmf.factorise(magnitudes, start, sparsity, n, adapt), sparsity)
        for n in range(30)
    ])  # fmt: skip
    assert (values.diff(dim=0) <= 1e-9 * values[0]).all()
    assert (values[-1] < 0.9 * values[0]).all()


def test_spectra_keep_norm_one_and_activations_get_sparse(nmf):
    magnitudes = random(21, 30) ** 3
    start, _ = nmf.unit(random(21, 5, seed=1))
    shares = []
    for sparsity in (0.0, 5.0):
        spectra, activations = nmf.factorise(magnitudes, start, sparsity, 200, adapt=True)
        torch.testing.assert_close(spectra.norm(dim=0), torch.ones(5).double())
        shares.append((activations < 1e-3 * activations.amax()).double().mean())
    assert shares[1] > shares[0]


def test_an_exact_model_has_no_divergence(nmf):
    spectra, activations = nmf.unit(random(21, 5))[0], random(5, 30, seed=1)
    magnitudes = spectra @ activations
    assert nmf.objective(magnitudes, spectra, activations, 0.0).abs() < 1e-9
    _, found = nmf.factorise(magnitudes, spectra, 0.0, 3000, adapt=False)
    torch.testing.assert_close(found, activations, rtol=0, atol=1e-3)


def test_sources_of_known_disjoint_dictionaries_are_recovered():
    """Two sets of tones; each dictionary is the spectra of one set's tones."""
    sets = ([500.0, 1500.0, 2500.0, 3500.0], [1000.0, 2000.0, 3000.0, 4000.0])
    separator = separators.build("nmf", **SMALL, sparsity=0.0)
    network = separator.network
    for name, frequencies in zip(("voice", "noise"), sets, strict=True):
        steady = torch.sin(
            2 * torch.pi * torch.tensor(frequencies).unsqueeze(1) * torch.arange(RATE) / RATE
        )
        spectra = network.stft(steady).abs()[..., 100].T
        getattr(network, name).copy_(spectra / spectra.norm(dim=0))
    sources = torch.stack([tones(f, seed) for seed, f in enumerate(sets)]).unsqueeze(0)
    with torch.no_grad():
        assert (si_sdr(separator(sources.sum(1)), sources) > 20).all()


def test_dictionaries_are_learnt_from_the_sources():
    sets = ([500.0, 1500.0, 2500.0, 3500.0], [1000.0, 2000.0, 3000.0, 4000.0])
    torch.manual_seed(0)
    separator = separators.build("nmf", **SMALL)

    def sources(seed):
        return torch.stack([tones(f, 2 * seed + i) for i, f in enumerate(sets)]).unsqueeze(0)

    training = [(sources(seed).sum(1), sources(seed)) for seed in (1, 2)]
    with torch.no_grad():
        separator.network.fit(training)
        assert (si_sdr(separator(sources(3).sum(1)), sources(3)) > 20).all()


def test_frames_are_drawn_with_equal_chances_and_no_more_than_asked_for(nmf):
    network = separators.build("nmf", **SMALL, fit_frames=50).network
    torch.manual_seed(0)
    tagged = [(None, torch.full((1, 2, 6400), level)) for level in (1.0, 2.0, 3.0, 4.0)]
    voice, noise = network._draw(tagged)
    assert voice.shape == noise.shape == (129, 50)
    assert torch.equal(voice, noise)
    levels = (voice[0] / voice[0].amax() * 4).round()
    assert all(3 <= (levels == level).sum() <= 25 for level in (1, 2, 3, 4))


def test_without_dictionaries_what_varies_is_the_voice():
    generator = torch.Generator().manual_seed(0)
    voice = 2 * tones([500.0, 1500.0, 2500.0], 0)
    steady = torch.randn(len(voice), generator=generator)
    sources = torch.stack((voice, steady)).unsqueeze(0)
    separator = separators.build("nmf", "unsupervised")
    untouched = {name: buffer.clone() for name, buffer in separator.network.named_buffers()}
    with torch.no_grad():
        separator.network.fit(iter([]))
        estimates = separator(sources.sum(1))
    gain = si_sdr(estimates, sources) - si_sdr(sources.sum(1, keepdim=True), sources)
    assert (gain > 2).all()
    assert all(torch.equal(b, untouched[name]) for name, b in separator.network.named_buffers())


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"dictionaries": "learned"}, "learned"), ({"voice_components": 0}, "voice_components 0"),
     ({"sparsity": -1.0}, "sparsity"), ({"variation": 0.0}, "variation"), ({"hop": 600}, "hop")],
)  # fmt: skip
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        separators.network_class("nmf", "NMF")(**settings)

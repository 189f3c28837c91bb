"""Losses: closed forms, references, and finite values and gradients whatever comes in."""

import itertools

import numpy as np
import pytest
import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr, pairwise_neg_snr

from local.base.errors import UserError
from local.training.losses import TERMS, SourceLoss, si_sdr

IN_DB = ("sisdr", "snr")


def make(permutation: str = "fixed", windows=(64, 128), **weights: float) -> SourceLoss:
    none = dict.fromkeys(TERMS, 0.0)
    return SourceLoss(none | weights | {"permutation": permutation, "stft_windows": list(windows)})


def noise(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def value(loss: SourceLoss, estimates, sources) -> float:
    return float(loss(estimates, sources)[0].detach())


def orthogonal(time: int = 800) -> tuple[torch.Tensor, torch.Tensor]:
    """Two signals of mean 0, mean square 1/2 and no common part."""
    turns = 2 * torch.pi * torch.arange(time, dtype=torch.float64) / time
    return torch.sin(5 * turns).float(), torch.cos(9 * turns).float()


# ---------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("wanted", [-30.0, 0.0, 12.5, 60.0])
@pytest.mark.parametrize("scale", [1e-2, 0.3, 1.0, -2.0, 1e6])
@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_si_sdr_of_a_scaled_source_with_orthogonal_error(wanted, scale, level):
    source, error = (level * x for x in orthogonal())
    estimate = scale * (source + 10 ** (-wanted / 20) * error)
    assert float(si_sdr(estimate, source)) == pytest.approx(wanted, abs=2e-3)
    # a constant on either is taken out
    shifted = si_sdr(estimate + estimate.std(), source + source.std())
    assert float(shifted) == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6])
def test_snr_counts_the_level_and_the_offset(scale, level):
    source, error = (level * x for x in orthogonal())
    estimate = scale * source + 0.1 * error + 0.2 * level
    # error: (scale - 1)^2 / 2 of the source, 0.01 / 2, and the offset's 0.04
    expected = 10 * np.log10(0.5 / ((scale - 1) ** 2 / 2 + 0.005 + 0.04))
    sources, estimates = source.expand(1, 2, -1), estimate.expand(1, 2, -1)
    assert value(make(snr=1.0), estimates, sources) == pytest.approx(-expected, abs=1e-3)


def test_decibels_are_limited_where_the_estimate_is_the_source_or_nothing_of_it():
    source, other = orthogonal()
    assert float(si_sdr(source, source)) == pytest.approx(100, abs=0.01)
    assert float(si_sdr(other, source)) == pytest.approx(-100, abs=0.5)
    assert float(si_sdr(0 * source, source)) == pytest.approx(-100, abs=0.01)
    sources = source.expand(1, 2, -1)
    assert value(make(snr=1.0), sources, sources) == pytest.approx(-100, abs=0.01)
    assert value(make(snr=1.0), 0 * sources, sources) == pytest.approx(0, abs=0.01)


def test_si_sdr_of_a_silent_source_is_nan_and_only_that():
    sources = noise(2, 2, 500)
    sources[0, 1] = 0
    sources[1, 0] = 0.7  # silent once its mean is removed
    values = si_sdr(noise(2, 2, 500, seed=1), sources)
    assert values.isnan().tolist() == [[False, True], [True, False]]


def test_mse_and_l1():
    sources, estimates = torch.zeros(1, 2, 4), torch.tensor([[[1.0, -1, 2, 0], [0, 0, 0, 4]]])
    assert value(make(mse=1.0), estimates, sources) == pytest.approx((6 + 16) / 8)
    assert value(make(l1=1.0), estimates, sources) == pytest.approx((4 + 4) / 8)


@pytest.mark.parametrize("permutation", ["fixed", "pit"])
@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("level", [1e-3, 1e-2, 30.0])
def test_every_term_is_in_units_of_the_mixtures_level(name, level, permutation):
    """The same error at another level is the same loss: no batch is ruled by its loud mixtures."""
    sources = noise(3, 2, 700)
    sources[0] *= 0.5
    estimates = sources + 0.3 * sources.flip(1) * noise(3, 2, 700, seed=1)
    loss = make(permutation, **{name: 1.0})
    expected = value(loss, estimates, sources)
    assert value(loss, level * estimates, level * sources) == pytest.approx(expected, rel=1e-4)


def test_mse_and_l1_are_those_over_the_mixtures_level():
    voice, other = orthogonal()
    sources = torch.stack((voice, 2 * other)).unsqueeze(0)  # mean squares 1/2 and 2
    estimates = sources + 0.1 * other
    assert value(make(mse=1.0), estimates, sources) == pytest.approx(0.01 * 0.5 / 2.5, rel=1e-5)
    size = 0.1 * float(other.abs().mean())
    assert value(make(l1=1.0), estimates, sources) == pytest.approx(size / 2.5**0.5, rel=1e-5)
    # of the sources' energies: where they cancel, there is a level too
    opposite = torch.stack((voice, -voice)).unsqueeze(0)
    assert value(make(mse=1.0), 0 * opposite, opposite) == pytest.approx(0.5, rel=1e-5)


# ---------------------------------------------------------------------- references


def test_si_sdr_and_snr_are_asteroids_where_nothing_is_silent():
    sources = noise(4, 2, 3000)
    # some of the other source: at -50 dB the constant that asteroid adds is seen
    estimates = sources + 0.3 * sources.flip(1) + 0.3 * noise(4, 2, 3000, seed=1) + 0.1
    pairwise = -pairwise_neg_sisdr(estimates, sources)
    mine = si_sdr(estimates.unsqueeze(2), sources.unsqueeze(1))
    torch.testing.assert_close(mine, pairwise, atol=1e-3, rtol=0)
    expected = float(pairwise.diagonal(dim1=1, dim2=2).mean())
    assert value(make(sisdr=1.0), estimates, sources) == pytest.approx(-expected, abs=1e-3)
    # asteroid removes the means for SNR, too: here they are removed before
    sources = sources - sources.mean(-1, keepdim=True)
    estimates = estimates - estimates.mean(-1, keepdim=True)
    expected = float(pairwise_neg_snr(estimates, sources).diagonal(dim1=1, dim2=2).mean())
    assert value(make(snr=1.0), estimates, sources) == pytest.approx(expected, abs=1e-3)


def test_pit_and_its_gradient_are_asteroids():
    sources = noise(5, 2, 2000)
    estimates = sources + noise(5, 2, 2000, seed=1)
    estimates[::2] = estimates[::2].flip(1)
    gradients = []
    for loss in (PITLossWrapper(pairwise_neg_sisdr), lambda *x: make("pit", sisdr=1.0)(*x)[0]):
        leaf = estimates.clone().requires_grad_()
        result = loss(leaf, sources)
        result.backward()
        gradients.append((float(result.detach()), leaf.grad))
    assert gradients[0][0] == pytest.approx(gradients[1][0], abs=1e-4)
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-3, atol=1e-6)


def reference_stft_error(estimate, source, window: int) -> float:
    """Spectral convergence and log magnitude distance, by numpy alone."""

    def magnitude(x):
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        padded = np.pad(x, window // 2)
        starts = range(0, len(padded) - window + 1, window // 4)
        bins = np.fft.rfft([hann * padded[start : start + window] for start in starts])
        return np.sqrt(np.maximum(np.abs(bins) ** 2, 1e-7))

    e, s = magnitude(estimate), magnitude(source)
    convergence = np.linalg.norm(s - e) / np.linalg.norm(s)
    return convergence + np.abs(np.log(s) - np.log(e)).mean()


@pytest.mark.parametrize("time", [1000, 333])
def test_stft_error_is_that_of_numpy(time):
    sources, windows = noise(2, 2, time, dtype=torch.float64), (32, 64)
    estimates = sources + 0.5 * noise(2, 2, time, seed=1, dtype=torch.float64)
    expected = np.mean(
        [
            reference_stft_error(estimates[b, i].numpy(), sources[b, i].numpy(), window)
            for b, i, window in itertools.product(range(2), range(2), windows)
        ]
    )
    assert value(make(stft=1.0, windows=windows), estimates, sources) == pytest.approx(expected)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("permutation", ["fixed", "pit"])
def test_gradients_are_those_of_finite_differences(name, permutation):
    sources = noise(2, 2, 24, dtype=torch.float64)
    sources[1, 0] = 0
    estimates = (sources + noise(2, 2, 24, seed=1, dtype=torch.float64)).requires_grad_()
    loss = make(permutation, windows=(8,), **{name: 1.0})
    assert torch.autograd.gradcheck(lambda x: loss(x, sources)[0], (estimates,))


# ---------------------------------------------------------------------- always finite

CASES = {
    "identical": lambda s: s.clone(),
    "opposite": lambda s: -s,
    "silent": lambda s: torch.zeros_like(s),
    "constant": lambda s: torch.full_like(s, 0.5),
    "one sample": lambda s: torch.zeros_like(s).index_fill_(-1, torch.tensor([3]), 1.0),
    "other": lambda s: noise(*s.shape, seed=9),
    "huge": lambda s: 1e12 * noise(*s.shape, seed=9),
    "tiny": lambda s: 1e-12 * noise(*s.shape, seed=9),
    "denormal": lambda s: torch.full_like(s, 1e-42),
}


@pytest.mark.parametrize("permutation", ["fixed", "pit"])
@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("source", CASES)
@pytest.mark.parametrize("estimate", CASES)
def test_values_and_gradients_are_finite(permutation, name, source, estimate):
    sources = CASES[source](noise(2, 2, 300))
    sources[0, 1] = 0
    estimates = CASES[estimate](sources).requires_grad_()
    loss, terms = make(permutation, **{name: 1.0})(estimates, sources)
    loss.backward()
    assert loss.isfinite()
    assert terms[name].isfinite()
    assert estimates.grad.isfinite().all()
    if name in IN_DB and permutation == "fixed":
        assert not estimates.grad[0, 1].any()


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("time", [1, 2, 63])
def test_inputs_shorter_than_a_window(name, time):
    estimates = noise(1, 2, time).requires_grad_()
    loss, _ = make("pit", **{name: 1.0})(estimates, noise(1, 2, time, seed=1))
    loss.backward()
    assert loss.isfinite()
    assert estimates.grad.isfinite().all()


@pytest.mark.parametrize("name", IN_DB)
def test_a_silent_target_adds_nothing_in_decibels(name):
    sources = noise(2, 2, 300)
    estimates = sources + 0.1 * noise(2, 2, 300, seed=1)
    loss = make(**{name: 1.0})
    both = value(loss, estimates[:1], sources[:1])
    alone = sources[:1].clone()
    alone[0, 1] = 0
    kept = estimates[:1].clone()
    kept[0, 1] = 0
    rest = sources[:1].clone()
    rest[0, 0] = 0
    assert value(loss, kept, alone) + value(loss, estimates[:1], rest) == pytest.approx(both)


@pytest.mark.parametrize("name", ["mse", "l1", "stft"])
def test_a_silent_target_is_an_ordinary_one_for_the_others(name):
    sources = torch.zeros(1, 2, 300)
    quiet, loud = (level * noise(1, 2, 300).requires_grad_() for level in (0.1, 1.0))
    loss = make(**{name: 1.0})
    assert 0 < value(loss, quiet, sources) < value(loss, loud, sources)
    estimates = noise(1, 2, 300).requires_grad_()
    loss(estimates, sources)[0].backward()
    assert estimates.grad.abs().sum() > 0


def test_a_silent_target_has_no_spectral_convergence():
    """Only the distance of the log magnitudes, that of silence being half of log 1e-7."""
    estimates, window = noise(1, 2, 300, dtype=torch.float64), 32
    error = value(make(stft=1.0, windows=(window,)), estimates, torch.zeros_like(estimates))
    powers = torch.stft(
        estimates[0], window, window // 4, window=torch.hann_window(window, dtype=torch.float64),
        pad_mode="constant", return_complex=True,
    ).abs().square()  # fmt: skip
    assert error == pytest.approx(float((powers / 1e-7).log().mean() / 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    sources = noise(2, 2, 4000)
    estimates = (sources + 0.1 * noise(2, 2, 4000, seed=1)).to(dtype)
    loss = make("pit", sisdr=1.0, snr=1.0, mse=1.0, l1=1.0, stft=1.0)
    expected, terms = loss(estimates.float(), sources)
    with torch.autocast("cpu", torch.bfloat16):
        found, half_terms = loss(estimates, sources)
    assert found.dtype == torch.float32
    assert float(found) == float(expected)
    assert half_terms == terms


# ---------------------------------------------------------------------- sums, batches, orders


def test_the_loss_is_the_weighted_sum_of_the_terms_that_have_weight():
    sources = noise(3, 2, 300)
    estimates = sources + noise(3, 2, 300, seed=1)
    weights = {"sisdr": 0.5, "l1": 3.0, "stft": 2.0}
    loss, terms = make(**weights)(estimates.clone().requires_grad_(), sources)
    assert list(terms) == ["sisdr", "l1", "stft"]
    assert float(loss.detach()) == pytest.approx(
        sum(weights[name] * float(terms[name]) for name in terms)
    )
    for name in terms:
        assert float(terms[name]) == pytest.approx(value(make(**{name: 1.0}), estimates, sources))
        assert not terms[name].requires_grad


@pytest.mark.parametrize("permutation", ["fixed", "pit"])
def test_the_loss_of_a_batch_is_the_mean_of_its_examples(permutation):
    sources = noise(4, 2, 300)
    sources[0, 1] = sources[1] = 0
    estimates = sources + noise(4, 2, 300, seed=1)
    loss = make(permutation, **dict.fromkeys(TERMS, 1.0))
    single = [value(loss, estimates[i : i + 1], sources[i : i + 1]) for i in range(4)]
    assert value(loss, estimates, sources) == pytest.approx(np.mean(single), rel=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_pit_does_not_mind_the_order_and_fixed_does(name):
    sources = noise(3, 2, 300)
    estimates = sources + 0.5 * noise(3, 2, 300, seed=1)
    swapped = estimates.clone()
    swapped[1] = swapped[1].flip(0)
    fixed, pit = make(**{name: 1.0}), make("pit", **{name: 1.0})
    right = value(fixed, estimates, sources)
    assert value(pit, estimates, sources) == pytest.approx(right, rel=1e-6)
    assert value(pit, swapped, sources) == pytest.approx(right, rel=1e-6)
    assert value(fixed, swapped, sources) > right + 0.01
    assert pit.best_order(estimates, sources).tolist() == [[0, 1]] * 3
    assert pit.best_order(swapped, sources).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_the_order_is_that_of_the_total_loss():
    """One source says swap, the other does not: the weighted sum of all terms decides."""
    sources, estimates = noise(64, 2, 40), noise(64, 2, 40, seed=1)
    weights = {"sisdr": 0.1, "mse": 5.0}
    pit, fixed = make("pit", **weights), make(**weights)
    order = pit.best_order(estimates, sources)
    assert {tuple(row) for row in order.tolist()} == {(0, 1), (1, 0)}
    for i in range(64):
        one = slice(i, i + 1)
        straight = value(fixed, estimates[one], sources[one])
        turned = value(fixed, estimates[one].flip(1), sources[one])
        assert (order[i, 0] == 1) == (turned < straight)
        assert value(pit, estimates[one], sources[one]) == pytest.approx(min(straight, turned))


def test_a_silent_source_leaves_the_order_to_the_other_one():
    sources = noise(1, 2, 300)
    sources[0, 0] = 0
    estimates = torch.stack([sources[0, 1] + 0.1 * noise(300, seed=1), noise(300, seed=2)])[None]
    assert make("pit", snr=1.0).best_order(estimates, sources).tolist() == [[1, 0]]
    both_silent = torch.zeros_like(sources)
    assert make("pit", snr=1.0).best_order(estimates, both_silent).tolist() == [[0, 1]]


def test_a_term_without_weight_is_not_computed(monkeypatch):
    for name in set(TERMS) - {"l1"}:
        monkeypatch.setitem(TERMS, name, None)
    make("pit", l1=1.0)(noise(1, 2, 10), noise(1, 2, 10))


def test_faults_of_the_settings_are_one_line():
    with pytest.raises(UserError, match="every weight is 0"):
        make()
    with pytest.raises(UserError, match="stft_windows"):
        make(stft=1.0, windows=(2, 512))

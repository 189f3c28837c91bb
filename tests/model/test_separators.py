"""Separators: built, made consistent, put in order, padded, counted; and every refusal."""

import sys

import narrow_networks
import numpy as np
import pytest
import torch
import toy_recipes
from asteroid.models import ConvTasNet
from narrow_networks import NARROW, noise
from torch import nn

from local import SOURCES
from local.base import config
from local.base.errors import UserError
from local.model import checkpoint, separators, windows

CONVOLUTION = '''\
"""One convolution and a linear layer, to count operations of."""

import torch
from asteroid.models import BaseModel


class Toy(BaseModel):
    def __init__(self, n_src, gain=0.5, sample_rate=8000):
        super().__init__(sample_rate=sample_rate)
        self.arguments = {"n_src": n_src, "gain": gain, "sample_rate": sample_rate}
        self.conv = torch.nn.Conv1d(1, 6, 4, stride=2)
        self.lstm = torch.nn.LSTM(6, 5, batch_first=True)
        self.linear = torch.nn.Linear(5, n_src * 2)

    def forward(self, mix):
        """(batch, time) -> (batch, source, time)."""
        frames = self.lstm(self.conv(mix.unsqueeze(1)).transpose(1, 2))[0]
        out = self.linear(frames).reshape(len(mix), -1, self.arguments["n_src"], 2)
        out = out.transpose(1, 2).flatten(2)
        return torch.nn.functional.pad(out, (0, mix.shape[-1] - out.shape[-1]))

    def get_model_args(self):
        return self.arguments
'''


@pytest.fixture(scope="module")
def narrow():
    return narrow_networks.build()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Makes the recipe ``toy`` of a source text, and builds it."""

    def make(source=toy_recipes.PLAIN, **changes):
        toy_recipes.make_recipe(tmp_path, "toy", source, changes)
        toy_recipes.use_root(monkeypatch, tmp_path)
        return separators.build("toy")

    return make


# ---------------------------------------------------------------- mixture consistency


@pytest.mark.parametrize("way", ["project", "difference"])
def test_consistent_estimates_sum_to_the_mixture(way):
    mix, estimates = noise(3, 50), noise(3, 2, 50, seed=1)
    out = separators.make_consistent(mix, estimates, way)
    torch.testing.assert_close(out.sum(1), mix)
    torch.testing.assert_close(separators.make_consistent(mix, out, way), out)


def test_projection_shares_the_residual_evenly():
    mix, estimates = noise(3, 50), noise(3, 2, 50, seed=1)
    out = separators.make_consistent(mix, estimates, "project")
    residual = mix - estimates.sum(1)
    torch.testing.assert_close(out - estimates, (residual / 2).unsqueeze(1).expand(-1, 2, -1))


def test_difference_keeps_the_voice():
    mix, estimates = noise(3, 50), noise(3, 2, 50, seed=1)
    out = separators.make_consistent(mix, estimates, "difference")
    assert torch.equal(out[:, 0], estimates[:, 0])
    assert torch.equal(out[:, 1], mix - estimates[:, 0])


def test_none_keeps_everything():
    estimates = noise(3, 2, 50)
    assert separators.make_consistent(noise(3, 50), estimates, "none") is estimates


@pytest.mark.parametrize(
    ("way", "jacobian"),
    [
        ("none", [[1, 0], [0, 1]]),
        ("project", [[0.5, -0.5], [-0.5, 0.5]]),
        ("difference", [[1, 0], [-1, 0]]),
    ],
)
def test_gradients_go_through(way, jacobian):
    def outputs(estimates):
        return separators.make_consistent(
            torch.ones(1, 1), estimates.reshape(1, 2, 1), way
        ).flatten()

    found = torch.autograd.functional.jacobian(outputs, torch.tensor([0.3, 0.9]))
    torch.testing.assert_close(found, torch.tensor(jacobian, dtype=torch.float32))


def test_a_separator_applies_the_way_of_its_settings():
    conf = config.read("convtasnet", "tiny", {f"model.{k}": v for k, v in NARROW.items()})
    mix = noise(2, 999)
    raw = separators.construct(conf | {"mixture_consistency": "none"}, "convtasnet").eval()
    for way in ("none", "project", "difference"):
        separator = separators.construct(conf | {"mixture_consistency": way}, "convtasnet").eval()
        with torch.no_grad():
            expected = separators.make_consistent(mix, raw.network(mix), way)
            torch.testing.assert_close(separator(mix), expected)


# ---------------------------------------------------------------- order of sources


def test_outputs_are_put_in_order(narrow):
    mix = noise(1, 500)
    turned = separators.Separator(narrow.network, "convtasnet", 16000, "none", SOURCES[::-1])
    with torch.no_grad():
        raw = narrow.network(mix)
        assert torch.equal(turned.eval()(mix), raw[:, [1, 0]])


def test_order_comes_before_consistency(narrow):
    mix = noise(1, 500)
    turned = separators.Separator(narrow.network, "convtasnet", 16000, "difference", SOURCES[::-1])
    with torch.no_grad():
        raw, out = narrow.network(mix), turned.eval()(mix)
    assert torch.equal(out[:, 0], raw[:, 1])
    assert torch.equal(out[:, 1], mix - raw[:, 1])


# ---------------------------------------------------------------- short inputs


@pytest.mark.parametrize(("kernel", "minimum"), [(16, 16), (17, 32), (32, 32), (33, 64)])
def test_minimum_length_is_the_next_power_of_two(kernel, minimum):
    separator = separators.build("convtasnet", "tiny", **NARROW, kernel_size=kernel)
    assert separator.minimum_length() == minimum


def test_short_inputs_are_padded_and_trimmed(narrow):
    mix = noise(2, 5)
    padded = nn.functional.pad(mix, (0, narrow.minimum_length() - 5))
    with torch.no_grad():
        expected = separators.make_consistent(mix, narrow.network(padded)[..., :5], "project")
        torch.testing.assert_close(narrow(mix), expected)


def test_finding_the_minimum_leaves_training_as_it_was():
    separator = separators.build("convtasnet", "tiny", **NARROW).train()
    before = torch.random.get_rng_state()
    separator(noise(2, 3)).square().sum().backward()
    assert separator.network.training
    assert torch.equal(torch.random.get_rng_state(), before)
    gradients = [p.grad for p in separator.network.decoder.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_a_network_that_fails_at_any_length_says_why(narrow, monkeypatch):
    def fail(mix):
        raise RuntimeError("out of paint")

    separator = separators.Separator(narrow.network, "convtasnet", 100)
    monkeypatch.setattr(separator.network, "forward", fail)
    with pytest.raises(RuntimeError, match="out of paint"):
        separator(noise(1, 3))


# ---------------------------------------------------------------- building


def test_build_is_seeded_and_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (separators.build("convtasnet", "tiny", **NARROW) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)
    assert not first.training
    conf = config.read("convtasnet", "tiny", {f"model.{k}": v for k, v in NARROW.items()})
    other = separators.construct(conf | {"seed": 1}, "convtasnet")
    weights = [s.network.decoder.filterbank.filters() for s in (first, other)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("name", ["free", "stft", "param_sinc", "analytic_free"])
def test_the_filterbank_is_one_edit(name):
    separator = separators.build("convtasnet", "tiny", **NARROW | {"n_filters": 64}, fb_name=name)
    assert separator(noise(1, 1001)).shape == (1, 2, 1001)


def test_filterbank_arguments_reach_the_filterbank():
    bank = {"min_low_hz": 30.0, "min_band_hz": None}
    separator = separators.build(
        "convtasnet", "tiny", **NARROW | {"n_filters": 64}, fb_name="param_sinc", filterbank=bank
    )
    filterbank = separator.network.encoder.filterbank
    assert (filterbank.min_low_hz, filterbank.min_band_hz) == (30, 50)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"causal": True}, ["causal", "cLN"]),
        ({"filterbank": {"min_low_hz": 30.0}}, ["min_low_hz", "free"]),
        ({"fb_name": "stft", "n_filters": 16}, ["n_filters >= kernel_size"]),
        ({"fb_name": "stft", "n_filters": 33}, ["even"]),
        ({"conv_kernel_size": 2}, ["convtasnet refuses"]),  # an odd one keeps the length
        ({"kernel_size": 20000}, ["convtasnet refuses", "20000"]),
        ({"n_filters": 10**20}, ["convtasnet refuses", "verflow"]),
        ({"kernel_size": 8, "stride": 9}, ["model.stride 9", "model.kernel_size, 8"]),
        ({"n_filtres": 4}, ["model.n_filtres", "'model.n_filters'"]),
        ({"filterbank": {"min_low": 1.0}}, ["'model.filterbank.min_low_hz'"]),
        ({"n_filters": "many"}, ["model.n_filters", "whole number"]),
        ({"norm_type": "BN"}, ["one of", "bN"]),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(overrides, parts):
    with pytest.raises(UserError) as caught:
        separators.build("convtasnet", "tiny", **NARROW | overrides)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 250
    for part in parts:
        assert part in line


@pytest.mark.parametrize("recipe", ["dprnn", "dptnet"])
def test_chunks_with_gaps_between_them_are_refused(recipe):
    with pytest.raises(UserError, match="hop_size 22: expected at most model"):
        separators.build(recipe, "tiny", chunk_size=21)


def test_a_dropout_without_effect_is_refused():
    with pytest.raises(UserError, match="dropout"):
        separators.build("dprnn", "tiny", dropout=0.5)


# ---------------------------------------------------------------- recipes with a model.py


def test_a_recipes_own_class(toy):
    separator = toy()
    assert type(separator.network).__name__ == "Toy"
    assert separator.sample_rate == separator.network.sample_rate == 16000
    mix = noise(2, 100)
    torch.testing.assert_close(separator(mix), torch.stack([mix / 2] * 2, 1))


def test_a_class_that_is_not_there(toy, tmp_path):
    toy()
    conf = tmp_path / "recipes" / "toy" / "conf.yml"
    conf.write_text(conf.read_text().replace("class: Toy  # [Toy]", "class: torch  # [torch]"))
    with pytest.raises(UserError, match="no model 'torch'"):
        separators.build("toy")


def test_a_package_that_only_one_recipe_needs(toy):
    with pytest.raises(UserError, match=r"'not_a_package': ./run.sh --model toy"):
        toy("import not_a_package\n" + toy_recipes.PLAIN)
    assert "recipes.toy.model" not in sys.modules


def test_a_package_that_does_not_load_here(toy):
    with pytest.raises(UserError, match=r"toy: a package that it needs fails here: .*nowhere\.so"):
        toy('import ctypes\n\nctypes.CDLL("nowhere.so")\n' + toy_recipes.PLAIN)
    assert "recipes.toy.model" not in sys.modules


def test_an_oracle_is_given_the_references(toy):
    oracle = toy(toy_recipes.ORACLE, **{"data.sample_rate": 8000})
    assert oracle.needs_sources
    sources = noise(1, 2, 4001)
    mix = sources.sum(1)
    torch.testing.assert_close(oracle(mix, sources), sources)
    assert oracle(mix[:, :1], sources[..., :1]).shape == (1, 2, 1)
    with pytest.raises(UserError, match="oracle"):
        oracle(mix)
    with pytest.raises(UserError, match="oracle"):
        windows.estimate(oracle, mix[0].numpy(), 8000)
    out = windows.estimate(oracle, mix[0].numpy(), 8000, sources[0].numpy())
    np.testing.assert_allclose(out, sources[0], atol=1e-6)
    assert windows.estimate(oracle, mix[0].numpy(), 16000, sources[0].numpy()).shape == (2, 4001)


def test_fitted_buffers_are_saved(toy, tmp_path):
    separator = toy(toy_recipes.FIT)
    assert separators.count_parameters(separator) == 0
    separator.network.fit([(torch.full((2, 50), level), None) for level in (1.0, 3.0)])
    checkpoint.save(tmp_path / "toy.pth", separator, {})
    loaded = separators.load(tmp_path / "toy.pth")
    assert float(loaded.network.loudness) == 2.0
    assert int(loaded.network.batches) == 2


# ---------------------------------------------------------------- operations


def test_the_network_equals_asteroids_and_keeps_its_names(narrow):
    stock = ConvTasNet(**narrow.network.get_model_args()).eval()
    assert list(stock.state_dict()) == list(narrow.network.state_dict())
    stock.load_state_dict(narrow.network.state_dict())
    mix = noise(2, 16001)
    with torch.no_grad():
        torch.testing.assert_close(narrow.network(mix), stock(mix), rtol=0, atol=1e-6)


def test_counting_operations_changes_nothing():
    """In training batch norm would learn from what is counted with."""
    separator = separators.build("unet", "tiny").train()
    before = {name: value.clone() for name, value in separator.state_dict().items()}
    assert separators.count_macs(separator) > 0
    after = separator.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_parameters_and_operations_are_counted(toy):
    rate = 1030
    separator = toy(CONVOLUTION, **{"data.sample_rate": rate})
    assert separators.count_parameters(separator) == (6 * 4 + 6) + 4 * 5 * (6 + 5 + 2) + (5 * 4 + 4)
    frames = (separators.MACS_SECONDS * rate - 4) // 2 + 1
    per_frame = 6 * 4 + 4 * 5 * (6 + 5) + 5 * 4
    assert separators.count_macs(separator) == frames * per_frame // separators.MACS_SECONDS


def test_operations_that_cannot_be_counted(toy):
    assert separators.count_macs(toy()) is None

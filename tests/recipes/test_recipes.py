"""What holds for every recipe folder, at the widths of its preset ``tiny``.

A new recipe is found here by itself: it adds a test file only for facts of its paper.
"""

import importlib.metadata
import inspect
import re

import pytest
import torch
import triplet_trees
from asteroid.models import BaseModel
from asteroid.models.base_models import BaseEncoderMaskerDecoder
from conftest import bare, extras

from local import ROOT
from local.base import config
from local.model import checkpoint, separators
from local.training.deep_features import FeatureNetwork
from local.training.losses import SourceLoss, si_sdr
from local.training.system import make_optimizer


def marked(recipe: str):
    """A recipe as a parameter of tests; skipped where a package of its extra is not installed."""
    for pin in (*extras().get(recipe, []), *bare().get(recipe, [])):
        try:
            importlib.metadata.version(pin.partition("==")[0])
        except importlib.metadata.PackageNotFoundError:
            return pytest.param(recipe, marks=pytest.mark.skip(reason=f"{recipe} needs {pin}"))
    return recipe


RECIPES = [marked(recipe) for recipe in config.recipes()]
SECTIONS = ("data", "mixture_consistency", "loss", "optim", "scheduler", "trainer", "log")
LENGTHS = (1, 2, 3, 15, 16, 17, 100, 1023, 4001, 16001)  # samples
STEPS = 30  # of the optimiser, to overfit one batch


@pytest.fixture(scope="module", params=RECIPES)
def separator(request):
    """A tiny separator, ready for use."""
    return fitted(separators.build(request.param, "tiny"))


def fitted(separator):
    """``separator``, once what is learnt without gradients is learnt from one batch."""
    if hasattr(separator.network, "fit"):
        with torch.no_grad():
            separator.network.fit([batch(rate=separator.sample_rate)])
    return separator


def trainable(recipe) -> bool:
    return separators.count_parameters(separators.build(recipe, "tiny")) > 0


TRAINABLE = [recipe for recipe in RECIPES if isinstance(recipe, str) and trainable(recipe)]


def batch(size: int = 2, rate: int = 16000, seconds: float = 0.5):
    """mix (batch, time), sources (batch, source, time): buzzes in white noise, at 0 dB."""
    length = int(seconds * rate)
    sources = []
    for seed in range(size):
        voice, noise = triplet_trees.signals(seed, length, rate)
        noise = triplet_trees.scale(voice, noise, 0.0)
        sources.append(torch.stack([torch.from_numpy(x / 32768.0).float() for x in (voice, noise)]))
    sources = torch.stack(sources)
    return sources.sum(1), sources


def separate(separator, sources):
    """(batch, source, time) -> estimates of the same shape, without gradient."""
    with torch.no_grad():
        return separator(sources.sum(1), sources if separator.needs_sources else None)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- the folder


def shared() -> list[str]:
    """The dotted keys that all recipes have; free mappings count as one key."""
    _, specs = config._parse(ROOT / "recipes" / "common.yml")
    return list(specs)


@pytest.mark.parametrize("recipe", RECIPES)
def test_conf_has_every_key_of_every_other(recipe):
    conf = config.read(recipe)
    assert tuple(conf) == ("class", "model", "seed", *SECTIONS)
    tree = {key: value for key, value in conf.items() if key not in config.OWN}
    assert list(config.flatten(tree, stop=dict.fromkeys(shared()))) == shared()
    _, specs = config._parse(ROOT / "recipes" / recipe / "conf.yml")
    assert conf["class"] in [word.strip() for word in specs["class"].split("|")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_rules_of_shared_keys_stand_in_common(recipe):
    _, specs = config._parse(ROOT / "recipes" / recipe / "conf.yml")
    assert {key.split(".")[0] for key, spec in specs.items() if spec} <= set(config.OWN)


@pytest.mark.parametrize(
    "path", ["common.yml", *(f"{recipe}/conf.yml" for recipe in config.recipes())]
)
def test_settings_explain_every_key(path):
    text = (ROOT / "recipes" / path).read_text(encoding="utf-8")
    settings, _, presets = text.partition("\npresets:\n")
    assert re.match(r"# \S+", text)
    for line in settings.splitlines():
        if re.match(r"\s*[\w-]+:\s*[^\s#]", line):
            assert re.search(r"#\s*(\[[^]]+\]\s*)?\w|#\s*\[[^]]+\]$", line), line
    assert path == "common.yml" or {"tiny", "small"} <= set(
        re.findall(r"^  (\w+):", presets, re.MULTILINE)
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_whole_numbers_of_model_have_a_range(recipe):
    """What lies outside is then a line that names the key, not what torch says of empty layers."""
    specs = config.keys(recipe)
    for key, value in config.flatten({"model": config.read(recipe)["model"]}).items():
        if isinstance(value, int | list) and not isinstance(value, bool):
            assert specs[key], key


@pytest.mark.parametrize("recipe", TRAINABLE)
def test_presets_run_on_two_cores(recipe):
    for preset in ("tiny", "small"):
        conf = config.read(recipe, preset)
        assert conf["data"]["num_workers"] == 0
        assert conf["trainer"]["accelerator"] == "cpu"
    assert config.read(recipe, "small")["trainer"]["max_time"] is not None


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_key_of_model_is_an_argument(recipe):
    conf = config.read(recipe)
    network = separators.network_class(recipe, conf["class"])
    assert set(conf["model"]) - {"filterbank"} <= set(inspect.signature(network).parameters)


@pytest.mark.parametrize("recipe", RECIPES)
def test_readme(recipe):
    text = (ROOT / "recipes" / recipe / "README.md").read_text(encoding="utf-8")
    assert f"--model {recipe}" in text
    assert text.index(f"<!-- results:{recipe} -->") < text.index("<!-- /results -->")


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("length", LENGTHS)
def test_any_length_comes_back(separator, length):
    sources = noise(1, 2, length)
    out = separate(separator, sources)
    assert out.shape == (1, 2, length)
    assert out.isfinite().all()
    if separator.consistency != "none":
        torch.testing.assert_close(out.sum(1), sources.sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [5, 8003])
def test_examples_of_a_batch_do_not_meet(separator, length):
    sources = noise(3, 2, length)
    sources[1] *= 10
    together = separate(separator, sources)
    for i in range(3):
        alone = separate(separator, sources[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_silence(separator):
    out = separate(separator, torch.zeros(1, 2, 4001))
    assert out.isfinite().all()
    if isinstance(separator.network, BaseEncoderMaskerDecoder):  # linear around its masks
        assert not out.any()


def test_loud_and_quiet_inputs_stay_finite(separator):
    for level in (1e-6, 1e3):
        assert separate(separator, level * noise(1, 2, 4001)).isfinite().all()


def test_weights_are_seeded(separator):
    again = separators.build(separator.recipe, "tiny")
    ours = dict(separator.named_parameters())
    assert list(ours) == [name for name, _ in again.named_parameters()]
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, ours[name]), name


def test_save_and_load(separator, tmp_path):
    path = tmp_path / "model.pth"
    checkpoint.save(path, separator, {"provenance": {}})
    torch.load(path, weights_only=True)
    loaded = separators.load(path)
    sources = noise(2, 2, 4001)
    assert torch.equal(separate(loaded, sources), separate(separator, sources))
    assert loaded.recipe == separator.recipe
    assert loaded.needs_sources == separator.needs_sources
    if not (ROOT / "recipes" / separator.recipe / "model.py").is_file():
        stock = BaseModel.from_pretrained(str(path)).eval()
        with torch.no_grad():
            expected = separator.network(sources.sum(1))
            torch.testing.assert_close(stock(sources.sum(1)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("recipe", TRAINABLE)
def test_one_batch_can_be_overfitted(recipe):
    conf = config.read(recipe, "tiny")
    separator = fitted(separators.construct(conf, recipe))
    mix, sources = batch(rate=separator.sample_rate)
    optimizer = make_optimizer(separator.network, conf["optim"])
    objective = getattr(separator.network, "loss", None)
    features = FeatureNetwork({"voice": 2}) if conf["loss"]["deep_feature"] else None
    source_loss = SourceLoss(conf["loss"], features)

    def loss():
        return objective(mix, sources) if objective else source_loss(separator(mix), sources)

    torch.manual_seed(0)
    losses = []
    for _ in range(STEPS):
        value, terms = loss()
        assert all(torch.as_tensor(term).isfinite().all() for term in terms.values())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert all(abs(x) < float("inf") for x in losses)
    if objective:
        assert min(losses[-5:]) < losses[0] - 0.2 * abs(losses[0])
    else:  # the signals are easy: their SI-SDR is to rise
        gain = si_sdr(separate(separator.eval(), sources), sources) - si_sdr(
            mix.unsqueeze(1), sources
        )
        assert gain.mean() > 3, f"{gain} dB; losses {losses}"

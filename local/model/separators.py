"""Separators: built from settings, or loaded from a checkpoint.

Training, evaluation, separation, export and the tests all build and load models here, so a model
behaves the same everywhere. ``local.model.windows`` applies them to recordings.
"""

import contextlib
import importlib.util
import inspect
import io
import sys
import traceback
import warnings
from pathlib import Path

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local import ROOT, SOURCES
from local.base import config
from local.base.errors import UserError
from local.model import checkpoint, filterbanks, speed

speed.tune_allocator()

PROBE_SECONDS = 1.0  # inputs shorter than this are compared with the network's minimum
MACS_SECONDS = 4  # length over which operations are counted


class Separator(nn.Module):
    """A network with its order of sources, mixture consistency and padding.

    Args:
        network: an ``asteroid.models.BaseModel``, (batch, time) -> (batch, source, time).
        recipe: name of its recipe.
        sample_rate: Hz.
        consistency: ``none``; ``project``: each estimate gets an equal part of the mixture minus
            all estimates (Wisdom et al. 2019, "Differentiable consistency constraints for improved
            deep speech enhancement", eq. 7); ``difference``: the noise is the mixture minus the
            voice.
        order: names of the network's outputs, in its order.
        infos: facts about the training, from the checkpoint.
    """

    def __init__(self, network, recipe, sample_rate, consistency="none", order=SOURCES, infos=None):
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.sample_rate = int(sample_rate)
        self.consistency = consistency
        self.order = tuple(order)
        self.infos = infos or {}
        self._minimum = None
        speed.speed_up(network)
        filterbanks.pair(network)

    @property
    def needs_sources(self) -> bool:
        """Whether the network is an oracle, which gets the references."""
        return getattr(self.network, "needs_sources", False)

    def forward(self, mix: torch.Tensor, sources: torch.Tensor | None = None) -> torch.Tensor:
        """Estimate the sources.

        Args:
            mix: (batch, time) at ``sample_rate``, of any length from 1 sample.
            sources: (batch, source, time), the references; only for an oracle.

        Returns:
            (batch, source, time) in the order of ``SOURCES``, never rescaled.
        """
        time = mix.shape[-1]
        padding = 0
        if time < PROBE_SECONDS * self.sample_rate:
            padding = max(0, self.minimum_length() - time)
        estimates = self._run(F.pad(mix, (0, padding)), sources, padding)[..., :time]
        return self.settled(mix, estimates)

    def settled(self, mix: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        """What the network made of ``mix``, (batch, source, time), in order and consistent."""
        if self.order != SOURCES:
            estimates = estimates[:, [self.order.index(source) for source in SOURCES]]
        return make_consistent(mix, estimates, self.consistency)

    def minimum_length(self) -> int:
        """The shortest input in samples (a power of two) that the network takes, found by trying.

        Only trying tells, because only the layers know how they pad.
        """
        if self._minimum is None:
            like = next(iter(self.network.state_dict().values()), torch.zeros(0))
            training = self.network.training
            self.network.eval()
            length = 1
            with torch.no_grad():
                # a tone, because the output for silence says nothing about lengths
                while not self._takes(torch.arange(length, device=like.device).cos().unsqueeze(0)):
                    length *= 2
            self.network.train(training)
            self._minimum = length
        return self._minimum

    def _takes(self, mix: torch.Tensor) -> bool:
        if mix.shape[-1] > 4 * PROBE_SECONDS * self.sample_rate:
            self._run(mix, mix.unsqueeze(1).repeat(1, len(SOURCES), 1), 0)
            return True  # the network fails at any length: the line above shows why
        try:
            out = self._run(mix, mix.unsqueeze(1).repeat(1, len(SOURCES), 1), 0)
        except (RuntimeError, ValueError, AssertionError, IndexError):
            return False
        return out.shape[-1] >= mix.shape[-1] and bool(out.isfinite().all())

    def _run(self, mix, sources, padding):
        if not self.needs_sources:
            return self.network(mix)
        if sources is None:
            raise UserError(f"{self.recipe} is an oracle: it needs the references; evaluate it")
        return self.network(mix, F.pad(sources, (0, padding)))


def make_consistent(mix: torch.Tensor, estimates: torch.Tensor, way: str) -> torch.Tensor:
    """Make estimates sum to the mixture; gradients go through.

    Args:
        mix: (batch, time).
        estimates: (batch, source, time).
        way: see ``Separator``.
    """
    if way == "none":
        return estimates
    if way == "project":
        return estimates + (mix - estimates.sum(1)).unsqueeze(1) / len(SOURCES)
    if way == "difference":
        voice = estimates[:, SOURCES.index("voice")]
        return torch.stack((voice, mix - voice), 1)
    raise ValueError(way)


def network_class(recipe: str, name: str) -> type:
    """The class that a recipe's conf.yml names: of its model.py, or else of Asteroid's models.

    Raises:
        UserError: neither has it.
    """
    path = ROOT / "recipes" / recipe / "model.py"
    if path.is_file():
        module = sys.modules.get(f"recipes.{recipe}.model") or _import(path, recipe)
    else:
        from asteroid import models as module
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise UserError(f"recipes/{recipe}: there is no model {name!r} in {module.__name__}")
    return found


def _import(path: Path, recipe: str):
    spec = importlib.util.spec_from_file_location(f"recipes.{recipe}.model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        del sys.modules[spec.name]
        raise UserError(
            f"{recipe} needs the package {error.name!r}: ./run.sh --model {recipe} installs it"
        ) from None
    except (ImportError, OSError) as error:  # such as a library that is not for this machine
        del sys.modules[spec.name]
        raise UserError(f"{recipe}: a package that it needs fails here: {_reason(error)}") from None
    return module


def construct(conf: dict, recipe: str) -> Separator:
    """A Separator of a recipe's resolved settings, with weights seeded by ``conf["seed"]``.

    The class's arguments ``n_src`` and ``sample_rate``, where it has them, follow from
    ``SOURCES`` and ``data.sample_rate``.

    Raises:
        UserError: the network, or its filterbank, refuses the settings or would change them.
    """
    network_type = network_class(recipe, conf["class"])
    arguments = dict(conf["model"])
    arguments |= _filterbank_arguments(arguments.pop("filterbank", {}), arguments.get("fb_name"))
    _check_steps(arguments)
    taken = inspect.signature(network_type).parameters
    given = {"n_src": len(SOURCES), "sample_rate": conf["data"]["sample_rate"]}
    arguments |= {key: value for key, value in given.items() if key in taken}
    rate, consistency = conf["data"]["sample_rate"], conf["mixture_consistency"]
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(conf["seed"])
        # Asteroid warns where it changes a setting silently, such as a norm that is not causal.
        warnings.simplefilter("error", UserWarning)
        try:
            separator = Separator(network_type(**arguments), recipe, rate, consistency)
            # some wrong combinations of settings show only when the network runs
            warnings.simplefilter("ignore", UserWarning)
            _run_once(separator)
        # the last three: numbers that are too large
        except (AssertionError, ValueError, RuntimeError, UserWarning,
                TypeError, OverflowError, MemoryError) as error:  # fmt: skip
            raise UserError(f"{recipe} refuses these settings: {_reason(error)}") from error
    return separator


def _run_once(separator: Separator) -> None:
    mix = torch.zeros(1, int(PROBE_SECONDS * separator.sample_rate))
    sources = torch.zeros(1, len(SOURCES), mix.shape[-1])
    training = separator.training
    with torch.no_grad():
        separator.eval()(mix, sources if separator.needs_sources else None)
    separator.train(training)


def _reason(error: BaseException) -> str:
    """An error's message on one line; for an assertion without one, its source line."""
    text = str(error).partition("Exception raised from")[0]  # what follows is torch's C++ stack
    words = " ".join(text.split())
    return words or traceback.extract_tb(error.__traceback__)[-1].line


def _check_steps(arguments: dict) -> None:
    """Refuse filters, or chunks of frames, with gaps between them, which Asteroid takes.

    What lies in a gap would be lost, or would not be seen.
    """
    if "fb_name" not in arguments:
        return
    for part, step in (("kernel_size", "stride"), ("chunk_size", "hop_size")):
        if step in arguments and arguments[step] > arguments[part]:
            raise UserError(f"model.{step} {arguments[step]}: expected at most model.{part},"
                            f" {arguments[part]}")  # fmt: skip


def _filterbank_arguments(given: dict, name: str | None) -> dict:
    """What is not null under ``model.filterbank``, if the filterbank takes it."""
    import asteroid_filterbanks

    given = {key: value for key, value in given.items() if value is not None}
    if given:
        taken = inspect.signature(asteroid_filterbanks.get(name)).parameters
        for key in given:
            if key not in taken:
                raise UserError(f"model.filterbank.{key}: fb_name {name} takes none; set it null")
    return given


def build(name: str, preset: str | None = None, **overrides) -> Separator:
    """A recipe's separator with untrained, seeded weights, in eval mode.

    Args:
        name: a folder below ``recipes/``.
        preset: see the recipe's conf.yml.
        overrides: keys of its ``model`` section.
    """
    keys = config.flatten({"model": overrides}) if overrides else {}
    return construct(config.read(name, preset, keys), name).eval()


def load(path: Path | str) -> Separator:
    """The separator of a checkpoint, on the CPU, in eval mode.

    Its class is always that of the local recipe, never one from the file.

    Raises:
        UserError: not a checkpoint, an unknown recipe, or one that has changed since.
    """
    package = checkpoint.read(path)
    winnow = package["winnow"]
    recipe = winnow["recipe"]
    try:
        config.read(recipe, None, {
            "class": package["model_name"], "mixture_consistency": winnow["mixture_consistency"],
        })  # fmt: skip
    except UserError as error:
        reason = str(error).removeprefix("command line: ")
        raise UserError(f"{path}: does not fit the recipes here: {reason}") from None
    network_type = network_class(recipe, package["model_name"])
    try:
        # a filterbank's prints would spoil a stream of samples on stdout
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore", UserWarning)
            network = network_type(**package["model_args"])
        network.load_state_dict(package["state_dict"])
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = _reason(error)[:160]
        raise UserError(f"{path}: does not fit recipes/{recipe}: {reason}") from error
    infos = package["infos"] | {"provenance": winnow["provenance"]}
    return Separator(
        network, recipe, winnow["sample_rate"], winnow["mixture_consistency"],
        winnow["sources"], infos,
    ).eval()  # fmt: skip


def count_parameters(separator: Separator) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in separator.network.parameters() if p.requires_grad)


def count_macs(separator: Separator) -> int | None:
    """Multiply-accumulate operations per second of audio: matrix products and convolutions.

    None if the network runs no torch operation that can be counted.
    """
    from torch.utils.flop_counter import FlopCounterMode

    mix = torch.zeros(1, MACS_SECONDS * separator.sample_rate)
    sources = torch.zeros(1, len(SOURCES), mix.shape[-1])
    counter = FlopCounterMode(display=False)
    learnt = {name: value.clone() for name, value in separator.named_buffers()}
    # the counter cannot see into oneDNN's recurrent layers: switch oneDNN off
    with torch.no_grad(), warnings.catch_warnings(), counter:
        warnings.simplefilter("ignore", UserWarning)
        with torch.backends.mkldnn.flags(enabled=False):
            separator(mix, sources if separator.needs_sources else None)
        for name, value in separator.named_buffers():
            value.copy_(learnt[name])  # in training batch norm has learnt from the silence
    return counter.get_total_flops() // 2 // MACS_SECONDS or None

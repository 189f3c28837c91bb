"""Complete small recipes for tests: folders with a conf.yml and a model.py.

    make_recipe(tmp_path, "toy", toy_recipes.LOSS)  # conf.yml, model.py, README.md
    use_root(monkeypatch, tmp_path)  # in this process, tmp_path is the checkout

Where the test runs programs instead, ``root`` is a copy of the checkout. The settings are those
of recipes/common.yml, so that a key added there is there too.
"""

import re
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent

PLAIN = '''\
"""Two gains: the smallest network that can be trained."""

import torch
from asteroid.models import BaseModel


class Toy(BaseModel):
    def __init__(self, n_src, gain=0.5, sample_rate=8000):
        super().__init__(sample_rate=sample_rate)
        self.arguments = {"n_src": n_src, "gain": gain, "sample_rate": sample_rate}
        self.gains = torch.nn.Parameter(torch.full((n_src,), gain))

    def forward(self, mix):
        """(batch, time) -> (batch, source, time)."""
        return self.gains.unsqueeze(-1) * mix.unsqueeze(1)

    def get_model_args(self):
        return self.arguments
'''

LOSS = (
    PLAIN
    + '''
    def loss(self, mix, sources):
        """Distance of the gains from 2; the waveforms play no part."""
        distance = (self.gains - 2).square().sum() + 0 * self(mix).sum()
        return distance, {"distance": distance.detach()}
'''
)

FIT = '''\
"""Nothing but a buffer: the loudness of the mixtures, learnt without gradients."""

import torch
from asteroid.models import BaseModel


class Toy(BaseModel):
    def __init__(self, n_src, gain=0.5, sample_rate=8000):
        super().__init__(sample_rate=sample_rate)
        self.arguments = {"n_src": n_src, "gain": gain, "sample_rate": sample_rate}
        self.register_buffer("loudness", torch.zeros(()))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def forward(self, mix):
        """(batch, time) -> (batch, source, time)."""
        return torch.stack([mix * self.arguments["gain"]] * self.arguments["n_src"], 1)

    def fit(self, batches):
        """The mean absolute value of the mixtures."""
        means = [mix.abs().mean() for mix, sources in batches]
        self.loudness.copy_(torch.stack(means).mean())
        self.batches.fill_(len(means))

    def get_model_args(self):
        return self.arguments
'''

FIT_AND_DESCEND = FIT.replace(
    '        self.register_buffer("loudness"',
    "        self.gains = torch.nn.Parameter(torch.full((n_src,), gain))\n"
    '        self.register_buffer("loudness"',
).replace(
    'torch.stack([mix * self.arguments["gain"]] * self.arguments["n_src"], 1)',
    "self.gains.unsqueeze(-1) * mix.unsqueeze(1)",
)

ORACLE = '''\
"""An oracle: it returns the references that it is given."""

from asteroid.models import BaseModel


class Toy(BaseModel):
    needs_sources = True

    def __init__(self, n_src, gain=0.5, sample_rate=8000):
        super().__init__(sample_rate=sample_rate)
        self.arguments = {"n_src": n_src, "gain": gain, "sample_rate": sample_rate}

    def forward(self, mix, sources):
        """(batch, time), (batch, source, time) -> (batch, source, time)."""
        return sources

    def get_model_args(self):
        return self.arguments
'''


def make_recipe(root: Path, name: str, source: str, changes: dict | None = None) -> Path:
    """Write ``root/recipes/<name>/`` with conf.yml, model.py and README.md.

    Args:
        root: a checkout, or an empty folder for ``use_root``, which gets a common.yml.
        name: of the recipe.
        source: text of model.py; its last class is the network.
        changes: dotted key -> what conf.yml sets it to; ``model`` as a whole, the network's
            arguments, is ``{"gain": 0.5}`` unless given here.

    Returns:
        the folder.
    """
    changes = {"model": {"gain": 0.5}} | (changes or {})
    network = re.findall(r"^class (\w+)", source, re.MULTILINE)[-1]
    folder = root / "recipes" / name
    folder.mkdir(parents=True)
    common = root / "recipes" / "common.yml"
    if not common.exists():
        shutil.copy(ROOT / "recipes" / "common.yml", common)
    arguments = "".join(f"  {key}: {_flow(value)}  # of the test\n"
                        for key, value in changes.pop("model").items())  # fmt: skip
    text = f"# {name}: a recipe of a test\n\n"
    text += f"class: {network}  # [{network}] of model.py\nmodel:\n{arguments}\n"
    text += yaml.safe_dump(_nested(changes | {"presets.tiny": {}, "presets.small": {}}))
    (folder / "conf.yml").write_text(text, encoding="utf-8")
    (folder / "model.py").write_text(source, encoding="utf-8")
    readme = f"# {name}\n\n<!-- results:{name} -->\n<!-- /results -->\n"
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return folder


def use_root(monkeypatch, root: Path) -> None:
    """Find recipes below ``root`` for the rest of a test, and forget those of tests before."""
    from local.base import config
    from local.model import separators

    monkeypatch.setattr(config, "ROOT", root)
    monkeypatch.setattr(separators, "ROOT", root)
    for name in [name for name in sys.modules if re.fullmatch(r"recipes\.\w+\.model", name)]:
        monkeypatch.delitem(sys.modules, name)


def _nested(flat: dict) -> dict:
    """``{"a.b": 1}`` -> ``{"a": {"b": 1}}``."""
    tree = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        part = tree
        for section in sections:
            part = part.setdefault(section, {})
        part[name] = value
    return tree


def _flow(value) -> str:
    """One value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return text.removesuffix("...").strip()

"""What training would refuse of the settings, told before anything runs.

What one key may hold stands in recipes/common.yml and is checked when settings are read; here is
what several keys, or a name of torch or Asteroid, decide. These are imported only where such a
name is not common.yml's own: that takes seconds.
"""

import importlib.metadata

from local.base import config
from local.base.errors import UserError


def check(conf: dict) -> None:
    """Whether a training can begin with these settings.

    Raises:
        UserError: the line that the training would end with.
    """
    common, data = config.common(), conf["data"]
    check_packages(conf["log"])
    if any(data[key] != common["data"][key] for key in ("snr_db", "gain_db", "augment")):
        from local.training.augment import Chain
        from local.training.ranges import pair

        Chain(data["augment"], data["sample_rate"])
        pair("data.gain_db", data["gain_db"])
        if data["snr_from"] == "range":
            pair("data.snr_db", data["snr_db"])
    if conf["loss"] != common["loss"]:
        from local.training.losses import SourceLoss

        SourceLoss(conf["loss"])
        if conf["loss"]["deep_feature"] and conf["loss"]["deep_feature_network"]:
            from local.training import deep_features

            deep_features.load(conf["loss"]["deep_feature_network"])
    if any(_names(conf, section) != _names(common, section) for section in ("optim", "scheduler")):
        import torch

        from local.training.system import make_optimizer, make_scheduler

        optimizer = make_optimizer(torch.nn.Linear(1, 1), conf["optim"])
        make_scheduler(optimizer, conf["scheduler"], steps_per_epoch=1)


def check_packages(log: dict) -> None:
    """Whether the package of what follows the training is installed.

    Args:
        log: that section of the settings.

    Raises:
        UserError: it is not.
    """
    if log["wandb"]:
        try:
            importlib.metadata.version("wandb")
        except importlib.metadata.PackageNotFoundError:
            raise UserError("log.wandb needs the package wandb: ./run.sh --log.wandb true"
                            " installs it (or pip install 'winnow[wandb]')") from None  # fmt: skip


def _names(conf: dict, section: str) -> tuple:
    """What a section names: a class, and arguments of it."""
    part = conf[section]
    return part.get("optimizer"), part.get("name"), sorted(map(str, part["arguments"]))

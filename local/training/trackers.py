"""Where a training is followed: Lightning's loggers, and examples to listen to beside the numbers.

CSV files are always written. TensorBoard and Weights & Biases (``wandb``) come beside them where
the section ``log`` says so; a training that continues goes on in the same run of both.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning import loggers
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from local import SOURCES
from local.base import config, disk
from local.base.errors import UserError
from local.training import refusals

EXAMPLES = 3  # of the validation set, to look at and listen to
PROJECT = "winnow"
RUN = {"id": str}  # what logs/wandb/run.yml holds


def start(folder: Path, conf: dict) -> list:
    """The loggers that the settings ask for; those beside CSV are told all settings.

    CSV files get a version per start of the program. The run of wandb has an id, which stays in
    ``wandb/run.yml``: in mode ``offline`` each start leaves a folder of this one run.

    Args:
        folder: ``logs`` of the experiment.
        conf: resolved settings.

    Raises:
        UserError: wandb is not installed, or does not begin, such as online without an account.
    """
    settings = conf["log"]
    refusals.check_packages(settings)
    beside = []
    if settings["tensorboard"]:
        beside.append(loggers.TensorBoardLogger(
            folder.parent, folder.name, version="tensorboard", default_hp_metric=False
        ))  # fmt: skip
    if settings["wandb"]:
        beside.append(_wandb(folder, settings["wandb_mode"]))
    for logger in beside:
        logger.log_hyperparams(config.flatten(conf))
    return [loggers.CSVLogger(folder.parent, name=folder.name), *beside]


def finish(chosen: list) -> None:
    """End the run of wandb, where there is one: another training may begin in this process."""
    for logger in chosen:
        if isinstance(logger, loggers.WandbLogger) and rank_zero_only.rank == 0:
            logger.experiment.finish()


def _wandb(folder: Path, mode: str) -> loggers.WandbLogger:
    """A logger of the experiment's one run.

    Raises:
        UserError: wandb's own reason why it does not begin.
    """
    # no faults of its own to its makers, no advertisements
    os.environ |= {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    import wandb

    wandb.setup()  # it is silent from here on
    place = folder / "wandb" / "run.yml"
    if not place.is_file() and rank_zero_only.rank == 0:
        disk.write_yaml(place, {"id": secrets.token_hex(4)})
    logger = loggers.WandbLogger(
        name=folder.parent.name,
        save_dir=folder,
        id=disk.read_yaml(place, RUN)["id"],
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        mode=mode,
        resume="allow" if mode == "online" else None,  # offline, whoever uploads decides
        settings=wandb.Settings(console="off"),
    )
    try:
        run = logger.experiment
    except (wandb.Error, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"log.wandb: {reason}; log.wandb_mode offline needs no account") from None
    if rank_zero_only.rank == 0:
        print(f"wandb: {Path(run.dir).parent if run.offline else run.url}")
    return logger


class Examples(pl.callbacks.Callback):
    """Spectrograms and audio of fixed validation examples, for TensorBoard and wandb.

    After the first epoch and every so many, each example's first segment goes through the weights
    that are validated. The mixture and its sources are heard once.

    Args:
        every: epochs.
        draw: (mix (time,), sources (source, time), {who: estimates (source, time)}, rate) -> a
            figure of matplotlib.
    """

    def __init__(self, every: int, draw: Callable):
        self.every, self.draw = every, draw

    def on_validation_epoch_end(self, trainer, system) -> None:
        """Separate, draw and hand over; the weights are in eval mode."""
        due = trainer.current_epoch % self.every == 0 and not trainer.sanity_checking
        takers = [logger for logger in trainer.loggers if type(logger) in TAKERS]
        if not (due and takers and trainer.is_global_zero):
            return
        rate = system.model.sample_rate
        for i in chosen(system.valid_data):
            mix, sources = system.valid_data[i]
            with torch.inference_mode():
                estimates = system.judged(mix[None].to(system.device))[0].float().cpu().numpy()
            mix, sources = mix.numpy(), sources.numpy()
            heard = {f"{source} estimate": x for source, x in zip(SOURCES, estimates, strict=True)}
            if trainer.current_epoch == 0:
                heard |= {"mixture": mix} | dict(zip(SOURCES, sources, strict=True))
            image = _pixels(self.draw(mix, sources, {"estimate": estimates}, rate))
            name = system.valid_data.manifest.row(system.valid_data.places[i][0]).id
            for logger in takers:
                TAKERS[type(logger)](logger, name, image, heard, rate, trainer.global_step)


def chosen(valid) -> list[int]:
    """The first segments of a few examples, spread over the SNRs of a validation set.

    Args:
        valid: ``local.training.mixtures.Validation``.
    """
    firsts = {}
    for i, (row, _) in enumerate(valid.places):
        firsts.setdefault(row, i)
    order = sorted(firsts, key=lambda row: valid.manifest.row(row).snr_db)
    count = min(EXAMPLES, len(order))
    return [firsts[order[(2 * k + 1) * len(order) // (2 * count)]] for k in range(count)]


def _pixels(figure) -> np.ndarray:
    """A figure as (height, width, colour), 8 bits each."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _to_tensorboard(logger, name: str, image, heard: dict, rate: int, step: int) -> None:
    writer = logger.experiment
    writer.add_image(f"{name}/spectrograms", image, step, dataformats="HWC")
    for what, samples in heard.items():
        writer.add_audio(f"{name}/{what}", torch.from_numpy(samples)[None], step, rate)


def _to_wandb(logger, name: str, image, heard: dict, rate: int, step: int) -> None:
    logger.log_image(f"{name}/spectrograms", [image], step)
    for what, samples in heard.items():
        samples = np.clip(samples, -1, 1)  # wandb writes integers
        logger.log_audio(f"{name}/{what}", [samples], step, sample_rate=[rate])


TAKERS = {loggers.TensorBoardLogger: _to_tensorboard, loggers.WandbLogger: _to_wandb}

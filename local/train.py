"""Stage 1: train the recipe that conf.yml describes; leave ``best_model.pth``.

    python -m local.train --model convtasnet --name NAME [--preset small] [--optim.lr 3e-4 ...]

The same command again continues an interrupted training, from the last epoch or from the last
of ``trainer.checkpoint_steps``; a finished one is not repeated.
"""

import logging
import shutil
import sys
import warnings
from pathlib import Path

from local import SOURCES
from local.base import config, disk, experiment
from local.base.errors import Parser, UserError, guard

LAST = Path("checkpoints") / "last.ckpt"
SHOWN_DIFFERENCES = 4
SAME = {"recipe": "the recipe", "preset": "the preset", "tag": "the tag",
        "train_hash": "the training manifest", "valid_hash": "the validation manifest"}  # fmt: skip
"""Facts with which alone an experiment may be continued."""
LIMITS = {"max_epochs": int, "max_time": str | None}
"""Settings of the trainer that end a training; raised, they continue it."""


def main() -> None:
    """Train as the command line says; write into the experiment's folder."""
    parser = Parser(prog="python -m local.train", description=__doc__.split("\n")[0])
    experiment.add_arguments(parser)
    parser.add_argument("--restart", action="store_true", help="forget what was trained before")
    own, overrides = config.split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    conf = config.read(args.model, args.preset, overrides)
    name = experiment.locate_data(args)
    folder = experiment.exp_dir(name, args.model, args.preset, args.tag)

    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    from local.corpus import manifest

    manifests = {split: manifest.read(experiment.data_dir(name) / f"{split}.csv")
                 for split in ("train", "valid")}  # fmt: skip
    facts = {
        "recipe": args.model, "preset": args.preset, "tag": args.tag, "data": name,
        "seed": conf["seed"],
        "train_hash": manifests["train"].hash, "valid_hash": manifests["valid"].hash,
        **experiment.provenance(),
    }  # fmt: skip
    # the processes of a distributed training run this program too: only the first one writes
    if rank_zero_only.rank == 0:
        if args.restart and folder.exists():
            shutil.rmtree(folder)
        if finished(folder, conf, facts):
            print(f"{folder}: already trained; --restart trains it anew")
            return
        disk.write_yaml(folder / "conf.yml", conf)
        disk.write_yaml(folder / "provenance.yml", facts)
    train(folder, args.model, conf, manifests, facts)


def finished(folder: Path, conf: dict, facts: dict) -> bool:
    """Whether a training with these settings and data has come to its end in ``folder``.

    Raises:
        UserError: the folder holds a training of other settings or data, or damaged files.
    """
    if not (folder / "conf.yml").exists():
        return False
    try:
        before = disk.read_yaml(folder / "conf.yml")
        old_facts = disk.read_yaml(folder / "provenance.yml", experiment.FACTS)
        done = old_facts.get("finished")
        if done:
            disk.expect(done, LIMITS, folder / "provenance.yml")
    except UserError as error:
        raise UserError(f"{error}; --restart trains it anew") from None
    differing = config.differences(before, conf)
    old, new = config.flatten(before), config.flatten(conf)
    differing = [f"{key} {old.get(key)} -> {new.get(key)}" for key in differing]
    for key, name in SAME.items():
        if old_facts.get(key) != facts[key]:
            differing.append(name)
    if differing:
        more = len(differing) - SHOWN_DIFFERENCES
        shown = ", ".join(differing[:SHOWN_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
        raise UserError(f"{folder} was made with other settings: {shown};"
                        " give a new --tag, or --restart to replace it")  # fmt: skip
    if not done or not (folder / "best_model.pth").is_file():
        return False
    more_epochs = conf["trainer"]["max_epochs"] > done["max_epochs"]
    more_time = seconds(conf["trainer"]["max_time"]) > seconds(done["max_time"])
    return not (more_epochs or more_time)


def seconds(duration: str | None) -> float:
    """``DD:HH:MM:SS`` in seconds; None is without end.

    Raises:
        UserError: another form.
    """
    if duration is None:
        return float("inf")
    parts = duration.split(":")
    if len(parts) != 4 or not all(part.isdigit() for part in parts):
        raise UserError(f"trainer.max_time expects DD:HH:MM:SS, found {duration!r}")
    days, hours, minutes, rest = map(int, parts)
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def train(folder: Path, recipe: str, conf: dict, manifests: dict, facts: dict) -> None:
    """Build, fit by gradients where there is something to, fit the rest, and save."""
    from local.model import checkpoint, separators
    from local.training import fitting

    seconds(conf["trainer"]["max_time"])
    separator = separators.construct(conf, recipe)
    parameters = separators.count_parameters(separator)
    fits = hasattr(separator.network, "fit")
    last = folder / LAST
    facts = facts | {"parameters": parameters, "macs_per_second": separators.count_macs(separator)}
    print(f"{recipe}: {parameters:,} parameters"
          + (f", {facts['macs_per_second'] / 1e9:.2f} G multiply-accumulates per second of audio"
             if facts["macs_per_second"] else ""))  # fmt: skip
    if separator.needs_sources and parameters:
        raise UserError(f"{recipe} is given the references (needs_sources): it cannot be trained")
    if fits and not last.is_file():
        fitting.fit(separator, conf, manifests["train"])
    if parameters:
        result = descend(separator, conf, manifests, last)
        if result is None:  # not the first process of a distributed training
            return
        facts |= result
        if fits:
            fitting.fit(separator, conf, manifests["train"])
    elif not fits:
        print(f"{recipe}: nothing is trained")
    facts["finished"] = {key: conf["trainer"][key] for key in LIMITS}
    about = {"provenance": facts}
    for key in ("parameters", "macs_per_second", "audio_seconds_seen", "training_seconds", "seed"):
        about[key] = facts.get(key)
    checkpoint.save(folder / "best_model.pth", separator, about)
    disk.write_yaml(folder / "provenance.yml", facts)
    print(f"{folder / 'best_model.pth'}: written")


def descend(separator, conf: dict, manifests: dict, last: Path) -> dict | None:
    """Train by gradients with Lightning; leave the best weights in ``separator``.

    Returns:
        what is to be said of the training; None on processes other than the first.

    Raises:
        UserError: the loss diverged.
        KeyboardInterrupt: the user stopped it.
    """
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    from local.training import precision
    from local.training.progress_lines import ProgressLines
    from local.training.saved_state import AtomicFile, LastCheckpoint
    from local.training.system import System

    # Lightning's advertisements and its advice on workers, which conf.yml has decided
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings(
        "ignore", message=r".*(does not have many workers|isinstance\(treespec)"
    )
    separator.train()
    system = System(separator, conf, manifests["train"], manifests["valid"])
    settings = conf["trainer"]
    # without a limit it still counts the time, over all interruptions
    timer = pl.callbacks.Timer(duration=settings["max_time"], interval="step")
    arithmetic, slow = precision.choose(settings["precision"], settings["accelerator"])
    if slow and rank_zero_only.rank == 0:
        print(f"note: {slow}", file=sys.stderr)
    callbacks = [timer, LastCheckpoint(last, settings["checkpoint_steps"])]
    if not sys.stdout.isatty():
        callbacks.append(ProgressLines())
    if settings["patience"]:
        callbacks.append(pl.callbacks.EarlyStopping("val_loss", patience=settings["patience"]))
    trainer = pl.Trainer(
        accelerator=settings["accelerator"],
        devices=settings["devices"],
        num_nodes=settings["num_nodes"],
        strategy=_strategy(system, settings),
        precision=arithmetic,
        max_epochs=settings["max_epochs"],
        accumulate_grad_batches=settings["accumulate"],
        callbacks=callbacks,
        logger=_loggers(last.parent.parent / "logs", conf["log"]),
        log_every_n_steps=min(conf["log"]["every_n_steps"], max(1, len(system.train_data))),
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stdout.isatty(),
        plugins=[AtomicFile()],
        default_root_dir=str(last.parent.parent),
    )
    try:
        trainer.fit(system, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    if trainer.global_rank != 0:
        return None
    best = system.best
    if best["state"] is None:
        raise UserError("the training ended before its first validation; allow it more time")
    separator.cpu()
    separator.network.load_state_dict(best["state"])
    separator.eval()
    if system.pit:
        separator.order = _majority_order(system)
        print(f"outputs are {', '.join(separator.order)}, as most validation mixtures have it")
    device = trainer.strategy.root_device
    return {
        "audio_seconds_seen": round(system.audio_seconds, 1),
        "training_seconds": round(timer.time_elapsed("train"), 1),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "best_epoch": best["epoch"],
        "validation": {key: round(value, 4) for key, value in best["metrics"].items()},
        "precision": arithmetic,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }


def _strategy(system, settings: dict) -> str:
    """Lightning's own choice, unless several devices must be told of parameters without use."""
    several = settings["devices"] * settings["num_nodes"] > 1
    if settings["strategy"] != "auto" or not several:
        return settings["strategy"]
    import torch

    from local.training.system import has_unused_parameters

    mix, sources = system.train_data[0]
    with torch.random.fork_rng():
        unused = has_unused_parameters(system, (mix.unsqueeze(0), sources.unsqueeze(0)))
    return "ddp_find_unused_parameters_true" if unused else "ddp"


def _loggers(folder: Path, settings: dict) -> list:
    """CSV always, one version per start of the program; TensorBoard beside it if asked for."""
    from pytorch_lightning import loggers

    chosen = [loggers.CSVLogger(folder.parent, name=folder.name)]
    if settings["tensorboard"]:
        chosen.append(loggers.TensorBoardLogger(folder.parent, name=folder.name))
    return chosen


def _majority_order(system) -> tuple[str, ...]:
    """Names of the network's outputs, in its order, by most of the validation mixtures."""
    import torch
    from torch.utils.data import DataLoader

    swaps = total = 0
    loader = DataLoader(system.valid_data, batch_size=system.config["data"]["batch_size"])
    with torch.inference_mode():
        for mix, sources in loader:
            order = system.loss_func.best_order(system.model(mix), sources)
            swaps += int((order[:, 0] != 0).sum())
            total += len(mix)
    return SOURCES[::-1] if swaps > total / 2 else SOURCES


if __name__ == "__main__":
    guard(main)

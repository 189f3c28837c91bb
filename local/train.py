"""Stage 1: train the recipe that conf.yml describes; leave ``best_model.pth``.

    python -m local.train --model convtasnet --name NAME [--preset small] [--optim.lr 3e-4 ...]

The same command again continues an interrupted training, from the last epoch or from the last
of ``trainer.checkpoint_steps``; a finished one is not repeated. With ``--init`` it starts from
weights that there are; with ``--trainer.max_epochs 0`` besides it only copies them, to be scored.
"""

import logging
import shutil
import sys
import warnings
from pathlib import Path

from local.base import config, disk, experiment
from local.base.errors import CONTINUES, Parser, UserError, guard

SHOWN_DIFFERENCES = 4
TRIED = 2  # mixtures with which bfloat16 is tried
SAME = {"recipe": "the recipe", "preset": "the preset", "tag": "the tag",
        "train_hash": "the training manifest", "valid_hash": "the validation manifest"}  # fmt: skip
"""Facts with which alone an experiment may be continued."""
LIMITS = {"max_epochs": int, "max_time": str | None}
"""Settings of the trainer that end a training; raised, they continue it."""
INIT = {"given": str, "file": str, "sha256": str, "sources": list, "refit": bool}
"""What provenance.yml says of the weights at the start."""


def main() -> None:
    """Train as the command line says; write into the experiment's folder."""
    parser = Parser(prog="python -m local.train", description=__doc__.split("\n")[0])
    experiment.add_arguments(parser)
    parser.add_argument("--restart", action="store_true", help="forget what was trained before")
    parser.add_argument(
        "--init", metavar="WEIGHTS", help="start from the weights of a recipe, an experiment's"
        " folder, a model file or a checkpoint of Asteroid's",
    )  # fmt: skip
    parser.add_argument(
        "--refit", action="store_true",
        help="with --init: learn anew from the data what is learnt without gradients",
    )  # fmt: skip
    own, overrides = config.split_dotted(sys.argv[1:])
    args = parser.parse_args(own)
    conf = config.read(args.model, args.preset, overrides)
    if args.init is None and (args.refit or conf["trainer"]["max_epochs"] == 0):
        what = "--refit" if args.refit else "--trainer.max_epochs 0"
        raise UserError(f"{what} goes with --init WEIGHTS only")
    name = experiment.locate_data(args)
    folder = experiment.exp_dir(name, args.model, args.preset, args.tag)

    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    from local.corpus import manifest

    manifests = {split: manifest.read(experiment.data_dir(name) / f"{split}.csv")
                 for split in ("train", "valid")}  # fmt: skip
    facts = {
        "recipe": args.model, "preset": args.preset,
        "preset_is": config.describe_preset(args.model, args.preset) if args.preset else None,
        "tag": args.tag, "data": name,
        "seed": conf["seed"],
        "train_hash": manifests["train"].hash, "valid_hash": manifests["valid"].hash,
        **experiment.provenance(),
    }  # fmt: skip
    of = experiment.Experiment(folder)
    # the processes of a distributed training run this program too: only the first one writes
    first = rank_zero_only.rank == 0
    afresh = not of.last.is_file() or (first and args.restart)
    if args.restart and args.init and Path(args.init).resolve().is_relative_to(folder.resolve()):
        raise UserError(f"--init {args.init}: --restart would delete it; give a new --tag")
    begun = None if args.restart else held(of)
    facts["init"], start = beginning(args, begun, afresh)
    if first and begun and finished(folder, begun, conf, facts):
        print(f"{folder}: already trained; --restart trains it anew")
        return
    if first and not conf["trainer"]["max_epochs"] and not afresh:
        raise UserError(f"{folder} holds a training that goes on, and --trainer.max_epochs 0"
                        " only copies weights; give a new --tag, or --restart")  # fmt: skip
    separator = build(args.model, conf, facts, start)
    if first:  # only here, where nothing stands in the way of a training any more
        if args.restart and folder.exists():
            shutil.rmtree(folder)
        disk.write_yaml(of.conf_path, conf)
        disk.write_yaml(of.facts_path, facts)
    train(of, separator, conf, manifests, facts, warm=start is not None)


def held(of: experiment.Experiment) -> tuple[dict, dict] | None:
    """Settings and provenance of the training that a folder holds; None where it holds none.

    Raises:
        UserError: damaged files.
    """
    if not of.conf_path.exists():
        return None
    try:
        conf, facts = of.conf, of.facts
        for key, kinds in (("finished", LIMITS), ("init", INIT)):
            if facts.get(key):
                disk.expect(facts[key], kinds, of.facts_path)
    except UserError as error:
        raise UserError(f"{error}; --restart trains it anew") from None
    return conf, facts


def beginning(args, begun: tuple[dict, dict] | None, afresh: bool):
    """What ``--init`` names: the facts of it for the provenance, and the weights.

    Args:
        args: of the command line.
        begun: what ``held`` found.
        afresh: false: a training goes on from its state; the file is not read, and may be gone.

    Raises:
        UserError: see ``warm_start.read``.
    """
    if args.init is None:
        return None, None
    old = begun[1].get("init") if begun else None
    if not afresh and old and old["given"] == args.init:
        return old | {"refit": args.refit}, None
    from local.training import warm_start

    start = warm_start.read(args.init)
    return start.facts | {"refit": args.refit}, start if afresh else None


def finished(folder: Path, begun: tuple[dict, dict], conf: dict, facts: dict) -> bool:
    """Whether a training with these settings and data has come to its end in ``folder``.

    Args:
        folder: of the experiment.
        begun: the settings and the provenance of what it holds.
        conf, facts: those of what is asked for.

    Raises:
        UserError: the folder holds a training of other settings or data.
    """
    before, old_facts = begun
    done = old_facts.get("finished")
    differing = config.differences(before, conf)
    old, new = config.flatten(before), config.flatten(conf)
    differing = [f"{key} {old.get(key)} -> {new.get(key)}" for key in differing]
    for key, name in SAME.items():
        if old_facts.get(key) != facts[key]:
            differing.append(name)
    inits = [of.get("init") or {} for of in (old_facts, facts)]
    if any(inits[0].get(key) != inits[1].get(key) for key in ("sha256", "refit")):
        shown = [f"{init.get('given')}{' --refit' if init.get('refit') else ''}" for init in inits]
        same = " (another file than then)" if shown[0] == shown[1] else ""
        differing.append(f"--init {shown[0]} -> {shown[1]}{same}")
    if differing:
        more = len(differing) - SHOWN_DIFFERENCES
        shown = ", ".join(differing[:SHOWN_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
        raise UserError(f"{folder} was made with other settings: {shown};"
                        " give a new --tag, or --restart to replace it")  # fmt: skip
    if not done or not experiment.Experiment(folder).model.is_file():
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


def build(recipe: str, conf: dict, facts: dict, start):
    """A separator as its training begins; its size is added to ``facts``.

    Args:
        recipe: its name.
        conf: resolved settings.
        facts: for the provenance.
        start: ``warm_start.Start``; None: random weights, or a state that is continued.

    Raises:
        UserError: settings or weights that do not fit the recipe, or one that cannot be trained.
    """
    from local.model import separators
    from local.training import warm_start

    seconds(conf["trainer"]["max_time"])
    separator = separators.construct(conf, recipe)
    parameters = separators.count_parameters(separator)
    if separator.needs_sources and parameters:
        raise UserError(f"{recipe} is given the references (needs_sources): it cannot be trained")
    if start:
        warm_start.put(separator, start)
    if facts["init"]:
        separator.order = tuple(facts["init"]["sources"])
    facts |= {"parameters": parameters, "macs_per_second": separators.count_macs(separator)}
    print(f"{recipe}: {parameters:,} parameters"
          + (f", {facts['macs_per_second'] / 1e9:.2f} G multiply-accumulates per second of audio"
             if facts["macs_per_second"] else ""))  # fmt: skip
    return separator


def train(
    of: experiment.Experiment, separator, conf: dict, manifests: dict, facts: dict, warm: bool
) -> None:
    """Fit by gradients where there is something to, fit the rest, and save.

    Args:
        of: where it is written.
        separator: what ``build`` made.
        conf: resolved settings.
        manifests: of ``train`` and ``valid``.
        facts: for the provenance; what is found out here is added.
        warm: whether it starts from the weights of ``--init``.
    """
    from local.model import checkpoint
    from local.training import feature_tasks, fitting

    recipe, parameters = separator.recipe, facts["parameters"]
    fits = hasattr(separator.network, "fit") and (not facts["init"] or facts["init"]["refit"])
    if fits and not of.last.is_file():
        fitting.fit(separator, conf, manifests["train"])
    if parameters and conf["trainer"]["max_epochs"]:
        own = hasattr(separator.network, "loss")  # the section loss is not used
        features = None if own else feature_tasks.prepared(of.folder, conf, manifests, facts)
        result = descend(separator, conf, manifests, features, of.last, warm)
        if result is None:  # not the first process of a distributed training
            return
        facts |= result
        if fits:
            fitting.fit(separator, conf, manifests["train"])
    elif not fits:
        print(f"{recipe}: nothing is trained" + ("; weights copied" if warm else ""))
    facts["finished"] = {key: conf["trainer"][key] for key in LIMITS}
    about = {"provenance": facts}
    for key in ("parameters", "macs_per_second", "audio_seconds_seen", "training_seconds", "seed"):
        about[key] = facts.get(key)
    checkpoint.save(of.model, separator, about)
    disk.write_yaml(of.facts_path, facts)
    print(f"{of.model}: written")


def descend(
    separator, conf: dict, manifests: dict, features, last: Path, warm: bool
) -> dict | None:
    """Train by gradients with Lightning; leave the best weights in ``separator``.

    Those at a ``warm`` start are validated before the first step, and may remain the best.

    Returns:
        what is to be said of the training; None on processes other than the first.

    Raises:
        UserError: the loss diverged.
        KeyboardInterrupt: the user stopped it.
    """
    import pytorch_lightning as pl
    import torch

    from local.training import pruning, trackers
    from local.training.adversarial import AdversarialSystem
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
    kind = AdversarialSystem if hasattr(separator.network, "adversary") else System
    system = kind(separator, conf, manifests["train"], manifests["valid"], features)
    settings = conf["trainer"]
    # without a limit it still counts the time, over all interruptions
    timer = pl.callbacks.Timer(duration=settings["max_time"], interval="step")
    arithmetic = _arithmetic(settings, separator, system.train_data)
    callbacks = [timer, LastCheckpoint(last, settings["checkpoint_steps"]), *pruning.callbacks()]
    if not sys.stdout.isatty():
        callbacks.append(ProgressLines())
    if settings["patience"]:
        callbacks.append(pl.callbacks.EarlyStopping("val_loss", patience=settings["patience"]))
    followed = trackers.start(last.parent.parent / "logs", conf)
    if conf["log"]["examples_every"] and len(followed) > 1:
        from local.reporting import figures

        callbacks.append(trackers.Examples(conf["log"]["examples_every"], figures.spectrograms))
    trainer = pl.Trainer(
        accelerator=settings["accelerator"],
        devices=settings["devices"],
        num_nodes=settings["num_nodes"],
        strategy=_strategy(system, settings),
        precision=arithmetic,
        max_epochs=settings["max_epochs"],
        accumulate_grad_batches=settings["accumulate"],
        callbacks=callbacks,
        logger=followed,
        log_every_n_steps=min(conf["log"]["every_n_steps"], max(1, len(system.train_data))),
        num_sanity_val_steps=-1 if warm else 0,  # all of it; not where a state is continued
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
    finally:
        trackers.finish(followed)
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
        "steps": system.steps,
        "best_epoch": best["epoch"] if best["epoch"] >= 0 else None,
        "validation": {key: round(value, 4) for key, value in best["metrics"].items()},
        "precision": arithmetic,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }


def _arithmetic(settings: dict, separator, data) -> str:
    """The precision of a training; a line on standard error says what is slow or wrong in one."""
    import torch
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    from local.training import precision

    asked = settings["precision"]
    arithmetic, slow = precision.choose(asked, settings["accelerator"])
    wrong = None
    if precision.device_of(settings["accelerator"]) == "cpu":
        mix = torch.stack([data[i][0] for i in range(min(TRIED, len(data)))])
        arithmetic, wrong = precision.trusted(asked, arithmetic, separator, mix)
    if rank_zero_only.rank == 0:
        for note in filter(None, (slow, wrong)):
            print(f"note: {note}", file=sys.stderr)
    return arithmetic


def _strategy(system, settings: dict) -> str:
    """Lightning's own choice, unless several devices must be told of parameters without use."""
    several = settings["devices"] * settings["num_nodes"] > 1
    if settings["strategy"] != "auto" or not several:
        return settings["strategy"]
    import torch

    from local.training.system import has_unused_parameters

    if not system.automatic_optimization:  # in each turn the other's parameters are without use
        return "ddp_find_unused_parameters_true"
    mix, sources = system.train_data[0]
    with torch.random.fork_rng():
        unused = has_unused_parameters(system, (mix.unsqueeze(0), sources.unsqueeze(0)))
    return "ddp_find_unused_parameters_true" if unused else "ddp"


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
    return system.model.order[::-1] if swaps > total / 2 else system.model.order


if __name__ == "__main__":
    guard(main, again=CONTINUES)

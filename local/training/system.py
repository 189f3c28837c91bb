"""What Lightning trains: a separator with its loss, optimiser and logged values."""

import contextlib
import inspect
import math

import pytorch_lightning as pl
import torch
from asteroid.engine import optimizers, schedulers
from asteroid.engine.system import System as AsteroidSystem
from torch.utils.data import DataLoader

from local import SOURCES
from local.base.errors import UserError, nearest
from local.model.separators import Separator
from local.training import average, mixtures
from local.training import schedules as own_schedules
from local.training.losses import SourceLoss, si_sdr
from local.training.saved_state import AFRESH, KEPT

REFUSED_OPTIMIZERS = ("ranger", "rangerqh", "rangerva")  # they do not run Lightning's closure
SEED_STRIDE = 1_000_003  # a prime: seeds of (seed, step, rank) do not fall together


class System(AsteroidSystem):
    """Asteroid's System, corrected, for one separator and its settings.

    Where the network has a method ``loss(mix, sources) -> (scalar, {name: scalar})`` it is the
    objective; otherwise ``conf["loss"]`` of the separator's estimates is. Validation logs the
    loss, and SI-SDR of each source with its improvement over the mixture, in dB; training logs
    them too if the objective is on waveforms.

    Departs from Asteroid's: the scheduler is stepped here, before the checkpoint of its epoch is
    written (Lightning does so after it, so that a continued training would miss a step); dropout
    is seeded for every step; settings stay plain types; no logger is needed.

    Args:
        separator: what to train.
        conf: resolved settings of its recipe.
        train_manifest, valid_manifest: ``local.corpus.manifest.Manifest``.
        features: the network that ``loss.deep_feature`` needs.
    """

    def __init__(
        self, separator: Separator, conf: dict, train_manifest, valid_manifest, features=None
    ):
        source_loss = SourceLoss(conf["loss"], features)
        super().__init__(separator, None, source_loss, None, config=conf)
        self.train_data = mixtures.training(train_manifest, conf["data"], conf["seed"])
        self.valid_data = mixtures.validation(valid_manifest, conf["data"])
        decay = conf["trainer"]["ema"]
        self.average = None if decay is None else average.exponential(separator, decay)
        self.objective = getattr(separator.network, "loss", None)
        self.pit = conf["loss"]["permutation"] == "pit" and self.objective is None
        self.audio_seconds = 0.0
        self.best = {"loss": float("inf"), "epoch": -1, "state": None, "metrics": {}}
        self._totals: dict[str, torch.Tensor] = {}
        self._val_loss: float | None = None

    @property
    def steps(self) -> int:
        """Steps of the network's optimiser so far."""
        return self.global_step

    @property
    def judged(self) -> Separator:
        """What is validated and kept: the average (``trainer.ema``), or the weights themselves."""
        return self.model if self.average is None else self.average.module

    # ------------------------------------------------------------------ data

    def train_dataloader(self) -> DataLoader:
        """Batches of this rank in this epoch; a checkpoint inside it continues where it stopped.

        Lightning calls this before every epoch (``reload_dataloaders_every_n_epochs``).
        """
        batches = self._indices(len(self.train_data), shuffle=True)
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current
        epoch = self.trainer.fit_loop.epoch_progress.current.processed
        batches.set_epoch(epoch)
        batches.start(progress.ready % len(batches))
        self.train_data.set_epoch(epoch)
        return self._loader(self.train_data, batches)

    def val_dataloader(self) -> DataLoader:
        """Fixed batches of this rank."""
        return self._loader(self.valid_data, self._indices(len(self.valid_data), shuffle=False))

    def _indices(self, size: int, shuffle: bool):
        return mixtures.BatchIndices(
            size, self.config["data"]["batch_size"], self.config["seed"], shuffle,
            rank=self.trainer.global_rank, world=self.trainer.world_size,
        )  # fmt: skip

    def _loader(self, data, batches) -> DataLoader:
        return DataLoader(
            data, batch_sampler=batches, num_workers=self.config["data"]["num_workers"],
            pin_memory=self.device.type == "cuda",
        )  # fmt: skip

    def on_train_batch_start(self, batch, batch_idx) -> None:
        """Seed the network's randomness, so a continued training repeats it."""
        step = self.current_epoch * SEED_STRIDE + batch_idx
        torch.manual_seed(hash((self.config["seed"], step, self.global_rank)) % 2**63)

    # ------------------------------------------------------------------ steps

    def training_step(self, batch, batch_idx):
        """One batch: mix (batch, time), sources (batch, source, time) -> the loss."""
        mix, sources = batch
        if self.objective is not None:
            loss, terms = self.objective(mix, sources)
        else:
            estimates = self.model(mix)
            loss, terms = self.loss_func(estimates, sources)
            with torch.no_grad():
                quality = self._quality(mix, sources, estimates.detach())
            for name, values in quality.items():
                values = values[values.isfinite()]
                if len(values):
                    self.log(name, values.mean())
        self.check(loss, "the loss")
        self.log("loss", loss, prog_bar=True)
        self.log_dict({f"loss_{name}": value for name, value in terms.items()})
        self.count(mix)
        return loss

    def check(self, loss: torch.Tensor, name: str) -> None:
        """Stop a training whose loss is no number."""
        if not torch.isfinite(loss):
            raise UserError(self._diverged(name, float(loss.detach())))

    def count(self, mix: torch.Tensor) -> None:
        """Add a batch to the audio that was seen."""
        self.audio_seconds += mix.numel() / self.model.sample_rate * self.trainer.world_size

    def validation_step(self, batch, batch_idx) -> None:
        """Add one batch to the sums for the epoch's means."""
        mix, sources = batch
        estimates = self.judged(mix)
        if self.objective is not None:
            loss, terms = self.judged.network.loss(mix, sources)
        else:
            loss, terms = self.loss_func(estimates, sources)
        values = {"val_loss": loss.expand(len(mix))}
        values |= {f"val_loss_{name}": value.expand(len(mix)) for name, value in terms.items()}
        quality = self._quality(mix, sources, estimates)
        values |= {f"val_{name}": value for name, value in quality.items()}
        for name, value in values.items():
            value = value.detach().double()
            here = value.isfinite() if "si_sdr" in name else torch.ones_like(value, dtype=bool)
            total = torch.stack((value[here].sum(), here.sum().double()))
            self._totals[name] = self._totals.get(name, 0) + total

    def on_validation_epoch_end(self) -> None:
        """Means over the whole validation set, the same on every rank; keep the best weights."""
        means = {}
        for name, total in self._totals.items():
            total = self.trainer.strategy.reduce(total, reduce_op="sum")
            means[name] = (total[0] / total[1]).float()
        self._totals = {}
        for name, value in means.items():
            self.log(name, value, prog_bar=name == "val_loss")
        self._val_loss = float(means["val_loss"])
        if not math.isfinite(self._val_loss):
            raise UserError(self._diverged("the validation loss", self._val_loss))
        if self._val_loss < self.best["loss"]:
            weights = self.judged.network.state_dict()
            state = {name: value.detach().cpu().clone() for name, value in weights.items()}
            self.best = {
                "loss": self._val_loss,
                "epoch": -1 if self.trainer.sanity_checking else int(self.current_epoch),
                "state": state,
                "metrics": {name: float(value) for name, value in means.items()},
            }

    def on_train_epoch_end(self) -> None:
        """An epoch-wise scheduler moves after validation, before the checkpoint.

        An epoch that was cut short by the clock has been validated; when it continues, Lightning
        may end it without a second validation, and then nothing moves.
        """
        validated, self._val_loss = self._val_loss, None
        epochwise = self.scheduler is not None and self.config["scheduler"]["interval"] == "epoch"
        if epochwise and validated is not None:
            self._move_scheduler(validated)
        deep = self.loss_func.deep
        if deep is not None and deep.end_epoch(self.current_epoch):
            self._forget_best()
        self.log("lr", self.optimizer.param_groups[0]["lr"])

    def _forget_best(self) -> None:
        """The loss has another unit from here on, so none before is the one to beat."""
        self.best["loss"] = float("inf")
        if isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.scheduler.best = float("inf")
        for callback in self.trainer.early_stopping_callbacks:
            callback.best_score = torch.tensor(float("inf"))

    def optimizer_step(self, *args, **kwargs) -> None:
        """Lightning's, and what follows a step."""
        super().optimizer_step(*args, **kwargs)
        self.after_step()

    def after_step(self) -> None:
        """A step-wise scheduler moves with the optimiser, and so does the average."""
        if self.average is not None:
            self.average.update_parameters(self.model)
        if self.scheduler is not None and self.config["scheduler"]["interval"] == "step":
            self._move_scheduler(None)

    def _move_scheduler(self, validated: float | None) -> None:
        if isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(validated)
        elif isinstance(self.scheduler, own_schedules.CosineOverRun):
            # in automatic optimisation, Lightning counts a step only after this hook
            self.scheduler.step(self.progress(self.steps + self.automatic_optimization))
        else:
            self.scheduler.step()

    def progress(self, step: int) -> float:
        """How much of the training is over, by its clock or its steps, whichever is further.

        The first process measures for all; otherwise their rates would differ.

        Args:
            step: how many optimiser steps are done.
        """
        limits = self.config["trainer"]
        steps = limits["max_epochs"] * self._steps_per_epoch()
        shares = [step / steps]
        for callback in self.trainer.callbacks:
            if isinstance(callback, pl.callbacks.Timer) and limits["max_time"]:
                elapsed = callback.time_elapsed("train")
                shares.append(elapsed / (elapsed + callback.time_remaining("train")))
        return self.trainer.strategy.broadcast(max(shares))

    def _steps_per_epoch(self) -> int:
        batches = len(self._indices(len(self.train_data), True))
        return math.ceil(batches / self.config["trainer"]["accumulate"])  # the last may be smaller

    def configure_gradient_clipping(self, optimizer, *args, **kwargs) -> None:
        """Clip the gradient's norm, and stop before a step that would spoil the weights."""
        limit = self.config["trainer"]["gradient_clip"]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit or float("inf"))
        # with float16 the scaler itself skips the steps whose gradients overflow
        if self.config["trainer"]["precision"] != "16-mixed" and not torch.isfinite(norm):
            raise UserError(self._diverged("the gradient", float(norm)))

    def _quality(self, mix, sources, estimates) -> dict[str, torch.Tensor]:
        """SI-SDR and its improvement, dB, of each example (batch,); NaN for silent targets."""
        if self.pit:
            order = self.loss_func.best_order(estimates, sources)
            estimates = estimates.gather(1, order.unsqueeze(-1).expand_as(estimates))
        after = si_sdr(estimates.float(), sources.float())
        before = si_sdr(mix.float().unsqueeze(1).expand_as(sources), sources.float())
        quality = {}
        for i, source in enumerate(SOURCES):
            quality[f"si_sdr_{source}"] = after[:, i]
            quality[f"si_sdr_{source}_imp"] = after[:, i] - before[:, i]
        return quality

    def _diverged(self, what: str, value: float) -> str:
        return (
            f"{what} became {value} in epoch {self.current_epoch}, step {self.steps}; the"
            " last good checkpoint is kept; try a smaller optim.lr with a new --tag"
        )

    # ------------------------------------------------------------------ state

    def configure_optimizers(self):
        """The optimiser; the scheduler is stepped by this class."""
        self.optimizer = make_optimizer(self.model.network, self.config["optim"])
        self.scheduler = make_scheduler(
            self.optimizer, self.config["scheduler"], self._steps_per_epoch()
        )
        return self.optimizer

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Everything else a continued training needs."""
        checkpoint["winnow"] = {
            "audio_seconds": self.audio_seconds,
            "best": self.best,
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """What ``on_save_checkpoint`` kept; the scheduler's part when it is there.

        Raises:
            UserError: it is of another network, or not of a training.
        """
        path, network = self.trainer.ckpt_path, self.state_dict()
        shapes = {
            key: getattr(value, "shape", None) for key, value in checkpoint["state_dict"].items()
        }
        if shapes != {key: value.shape for key, value in network.items()}:
            raise UserError(f"{path}: of another network, whose code has changed since{AFRESH}")
        kept = checkpoint["winnow"]
        if not set(kept) >= KEPT:
            raise UserError(f"{path}: not the state of a training{AFRESH}")
        self.audio_seconds, self.best = kept["audio_seconds"], kept["best"]
        self._scheduler_state = kept["scheduler"]

    def on_train_start(self) -> None:
        """The optimiser and its scheduler exist by now: restore the scheduler."""
        state = getattr(self, "_scheduler_state", None)
        if state is not None:
            self.scheduler.load_state_dict(state)

    @staticmethod
    def config_to_hparams(dic: dict) -> dict:
        """None: the settings stand in the experiment's conf.yml."""
        return {}


def make_optimizer(network, conf: dict) -> torch.optim.Optimizer:
    """Any optimiser of torch.optim or asteroid.engine.optimizers, by its name in any case.

    Raises:
        UserError: an unknown name, or arguments that it does not take.
    """
    known = {}
    for module in (optimizers, torch.optim):
        for name in dir(module):
            item = getattr(module, name)
            if isinstance(item, type) and issubclass(item, torch.optim.Optimizer):
                known[name.lower()] = item
    offered = set(known) - {"optimizer", "lbfgs", "sparseadam", *REFUSED_OPTIMIZERS}
    name = conf["optimizer"].lower()
    if name not in offered:
        raise UserError(f"optim.optimizer: unknown {conf['optimizer']!r}{nearest(name, offered)}")
    arguments = {"lr": conf["lr"], **conf["arguments"]}
    taken = inspect.signature(known[name]).parameters
    if conf["weight_decay"] or "weight_decay" in taken:
        arguments["weight_decay"] = conf["weight_decay"]
    return _make(known[name], "optim", (network.parameters(),), arguments)


def make_scheduler(optimizer, conf: dict, steps_per_epoch: int):
    """Any scheduler of torch.optim.lr_scheduler, asteroid.engine.schedulers or ours, by its name.

    ``steps_per_epoch``, where it takes that, is filled in.

    Raises:
        UserError: an unknown name, or arguments that it does not take.
    """
    name, arguments = conf["name"], dict(conf["arguments"])
    if name is None:
        return None
    known = {
        key: item
        for module in (torch.optim.lr_scheduler, schedulers, own_schedules)
        for key, item in vars(module).items()
        if isinstance(item, type) and key[0] != "_" and hasattr(item, "step")
    }
    if name not in known:
        raise UserError(f"scheduler.name: unknown {name!r}{nearest(name, known)}")
    if "steps_per_epoch" in inspect.signature(known[name]).parameters:
        arguments.setdefault("steps_per_epoch", steps_per_epoch)
    return _make(known[name], "scheduler", (optimizer,), arguments)


def _make(kind: type, section: str, first: tuple, arguments: dict):
    taken = inspect.signature(kind).parameters
    for key in arguments:
        if key not in taken:
            raise UserError(f"{section}.arguments: {kind.__name__} takes no {key!r}"
                            f"{nearest(key, taken)}")  # fmt: skip
    try:
        return kind(*first, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"{section}: {kind.__name__}: {error}") from None


def has_unused_parameters(system: System, batch) -> bool:
    """Whether some parameter gets no gradient from one batch: distributed training must know."""
    mix, sources = batch
    if system.objective is not None:
        loss, _ = system.objective(mix, sources)
    else:
        loss, _ = system.loss_func(system.model(mix), sources)
    loss.backward()
    parameters = [p for p in system.model.network.parameters() if p.requires_grad]
    unused = any(p.grad is None for p in parameters)
    with contextlib.suppress(AttributeError):
        system.model.zero_grad(set_to_none=True)
    return unused

"""Training against an adversary: two optimisers in turns (Goodfellow et al. 2014, algorithm 1)."""

import sys

import torch

from local.base.errors import UserError
from local.training.system import System, make_optimizer

COLLAPSED = (
    1e-4  # mean loss of an adversary over an epoch: it knows everything, and teaches nothing
)


class AdversarialSystem(System):
    """A System for a network that has ``adversary``; see "Model" in local/README.md.

    Each batch is first a step of the adversary on ``network.adversary_loss``, then one of the
    network on ``network.loss``, which is given the adversary. Both have the optimiser of ``optim``;
    the adversary's rate is the network's. The adversary is part of the state that a training
    continues from, and not of the model file. Validation leaves it out, so that losses of different
    epochs can be compared.

    Raises:
        UserError: several batches to a step.
    """

    def __init__(self, separator, conf: dict, *data, **more):
        super().__init__(separator, conf, *data, **more)
        if conf["trainer"]["accumulate"] != 1:
            raise UserError(
                f"trainer.accumulate {conf['trainer']['accumulate']}: training against an adversary"
                " takes a step with every batch; set it 1 and raise data.batch_size"
            )
        self.automatic_optimization = False
        with torch.random.fork_rng():
            torch.manual_seed(conf["seed"])
            self.adversary = separator.network.adversary()
        self._epoch = torch.zeros(2)  # sum of the adversary's losses, count

    @property
    def steps(self) -> int:
        """Lightning counts those of both optimisers."""
        return self.global_step // 2

    def training_step(self, batch, batch_idx):
        """One batch, a step of each: mix (batch, time), sources (batch, source, time)."""
        mix, sources = batch
        network = self.model.network
        own, against = self.optimizers()
        for group in against.param_groups:
            group["lr"] = own.param_groups[0]["lr"]

        self.toggle_optimizer(against)
        loss = network.adversary_loss(mix, sources, self.adversary)
        self._descend(against, loss, "the adversary's loss")
        self.untoggle_optimizer(against)
        self.log("loss_adversary", loss)
        self._epoch += torch.tensor([loss.item(), 1.0])

        self.toggle_optimizer(own)
        loss, terms = network.loss(mix, sources, self.adversary)
        self._descend(own, loss, "the loss")
        self.untoggle_optimizer(own)
        self.after_step()
        self.log("loss", loss, prog_bar=True)
        self.log_dict({f"loss_{name}": value for name, value in terms.items()})
        self.count(mix)

    def _descend(self, optimizer, loss: torch.Tensor, name: str) -> None:
        self.check(loss, name)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def on_before_optimizer_step(self, optimizer) -> None:
        """Clip here, where gradients of float16 are at their own scale, as Lightning does not."""
        self.configure_gradient_clipping(optimizer)

    def on_train_epoch_end(self) -> None:
        """Say when the adversary has won."""
        super().on_train_epoch_end()
        here = self._epoch.to(self.device)
        total, count = self.trainer.strategy.reduce(here, reduce_op="sum").tolist()
        self._epoch.zero_()
        if count and total / count < COLLAPSED and self.global_rank == 0:
            print(
                f"note: epoch {self.current_epoch}: the adversary's loss is 0: it tells estimates"
                " from references without fail, and the network learns nothing from it; try a"
                " smaller optim.lr",
                file=sys.stderr,
            )

    def configure_optimizers(self):
        """One for the network and one for the adversary."""
        return [
            super().configure_optimizers(),
            make_optimizer(self.adversary, self.config["optim"]),
        ]

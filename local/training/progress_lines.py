"""The progress of a training where nobody looks at a terminal: a line now and then."""

import sys

import pytorch_lightning as pl

from local.base.progress import Clock


class ProgressLines(pl.callbacks.Callback):
    """``epoch 12, step 60, 01:30 gone: loss 0.287, val_loss 0.221`` on standard error."""

    def on_train_start(self, trainer, system) -> None:
        """The clock runs from here."""
        self.clock = Clock()

    def on_train_batch_end(self, trainer, system, *args) -> None:
        """A line where one is due."""
        if self.clock.due() and trainer.is_global_zero:
            found = trainer.callback_metrics
            said = ", ".join(f"{name} {float(found[name]):.3f}"
                             for name in ("loss", "val_loss") if name in found)  # fmt: skip
            print(f"epoch {trainer.current_epoch + 1}, step {system.steps},"
                  f" {self.clock.gone} gone: {said}", file=sys.stderr, flush=True)  # fmt: skip

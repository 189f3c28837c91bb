"""The state of a training on disk: when and how it is written, and how damage is found."""

import pytorch_lightning as pl
from pytorch_lightning.plugins.io import TorchCheckpointIO

from local.base.errors import UserError
from local.model import checkpoint

STATE = {"state_dict": dict, "optimizer_states": list, "loops": dict, "callbacks": dict,
         "epoch": int, "global_step": int, "winnow": dict}  # fmt: skip
"""What must be in a checkpoint of Lightning, which would ask for it without looking."""
KEPT = {"audio_seconds", "best", "scheduler"}  # under "winnow" in it
AFRESH = "; there is no earlier one: --restart forgets it and trains from scratch"


class LastCheckpoint(pl.callbacks.Checkpoint):
    """Write the state of a training at the end of every epoch, or of every ``steps`` steps."""

    def __init__(self, path, steps: int | None):
        self.path, self.steps, self._saved_at = path, steps, -1

    def on_train_batch_end(self, trainer, system, *args) -> None:
        """After the optimiser's step, not between the batches that it accumulates."""
        if self.steps and system.steps != self._saved_at and system.steps % self.steps == 0:
            self._save(trainer, system)

    def on_train_epoch_end(self, trainer, system) -> None:
        """After validation and the scheduler."""
        self._save(trainer, system)

    def _save(self, trainer, system) -> None:
        self._saved_at = system.steps
        trainer.save_checkpoint(self.path, weights_only=False)


class AtomicFile(TorchCheckpointIO):
    """Lightning's checkpoint files, written to a temporary name in the same folder and renamed.

    Lightning's own go through the system's temporary folder, perhaps on another disk: a move from
    there can be interrupted half-way.
    """

    def save_checkpoint(self, state, path, storage_options=None) -> None:
        """Atomic."""
        checkpoint.write(path, state)

    def load_checkpoint(self, path, *args, **options) -> dict:
        """A file that ``save_checkpoint`` wrote.

        Raises:
            UserError: it is damaged. Each takes the place of the one before once the disk has it,
                so that a kill or a loss of power leaves a whole one; no second one is kept.
        """
        try:
            found = super().load_checkpoint(path, *args, **options)
        except OSError:
            raise
        except Exception as error:  # torch raises almost anything on damaged bytes
            raise UserError(f"{path}: damaged{AFRESH}") from error
        for key, kind in STATE.items():
            if not isinstance(found, dict) or not isinstance(found.get(key), kind):
                raise UserError(f"{path}: not the state of a training (no {key!r}){AFRESH}")
        return found

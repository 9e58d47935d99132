"""Lightning's own loop, for a LightningModule as its author wrote it."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from fourbeat.base.errors import NonFiniteError
from fourbeat.data import AT_EPOCH_ENDS, Batch, Validations
from fourbeat.lightning.trainer import loss_scaler
from fourbeat.lightning.validation import decide_validations
from fourbeat.loop.evaluation import SeededEvaluations


class LightningLoop(SeededEvaluations):
    """Adds to Lightning's loop what every run here has, and leaves the beats to the module.

    A loss that is NaN or infinite ends the training, and validations are counted as in the other
    loops.

    Args:
        seed: Of what evaluations draw.
        validations: When the validation runs within an epoch.
        terminate_on_nan: End the training when its loss is NaN or infinite; on the CPU, and without
            a loss scaler, as in the other loops.

    Attributes:
        playing: The batch that is trained on.
    """

    def __init__(
        self,
        seed: int = 0,
        validations: Validations = AT_EPOCH_ENDS,
        *,
        terminate_on_nan: bool = True,
    ) -> None:
        self.validations, self.terminate_on_nan = validations, terminate_on_nan
        super().__init__(seed)
        self._num_done = 0
        self.playing: Batch = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide when validations run, and whether each loss is checked."""
        self._checks = self.terminate_on_nan and pl_module.device.type == "cpu"
        self._checks = self._checks and loss_scaler(trainer) is None
        self._num_done = 0
        if self.validations.are_within_epochs:
            decide_validations(trainer, lambda: self._is_due(trainer))

    def _is_due(self, trainer: Trainer) -> bool:
        batches, epoch = trainer.num_training_batches, trainer.current_epoch
        return self.validations.is_due(batches, epoch, self._num_done)  # type: ignore[arg-type]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note what is trained on."""
        self.playing = batch

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Stop before a loss that is NaN or infinite corrupts the weights.

        Raises:
            NonFiniteError: It is.
        """
        if self._checks and not math.isfinite(loss.item()):
            raise NonFiniteError(trainer.global_step, "train/loss", loss.item(), corrupted=False)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batches of the epoch."""
        self._num_done = batch_idx + 1

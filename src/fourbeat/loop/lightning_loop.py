"""Lightning's own loop, for a LightningModule as its author wrote it."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from fourbeat.base.errors import NonFiniteError
from fourbeat.base.generators import generators_seeded, seed_generators
from fourbeat.data import AT_EPOCH_ENDS, Validations, evaluation_seed
from fourbeat.data.seeding import Split
from fourbeat.lightning.trainer import loss_scaler
from fourbeat.lightning.validation import decide_validations


class LightningLoop(Callback):
    """Adds to Lightning's loop what every run here has, and leaves the beats to the module.

    What an evaluation draws is seeded batch by batch, and the training's random generators stand
    where they stood once it is over: so ``eval.py`` gives the run's own test. A loss that is NaN or
    infinite ends the training, and validations are counted as in the other loops.

    Args:
        seed: Of what evaluations draw.
        validations: When the validation runs within an epoch.
        terminate_on_nan: End the training when its loss is NaN or infinite; on the CPU, and without
            a loss scaler, as in the other loops.
    """

    def __init__(
        self,
        seed: int = 0,
        validations: Validations = AT_EPOCH_ENDS,
        *,
        terminate_on_nan: bool = True,
    ) -> None:
        self.validations, self.terminate_on_nan = validations, terminate_on_nan
        self._seed, self._restoring = seed, ExitStack()
        self._num_done = 0

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

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the training's random generators."""
        self._restoring.enter_context(generators_seeded())

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Seed what the batch draws."""
        split: Split = "test" if trainer.testing else "val"
        seed, rank = self._seed + dataloader_idx, trainer.global_rank
        seed_generators(evaluation_seed(seed, split, rank, batch_idx))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the training's random generators."""
        self._restoring.close()

    on_test_start = on_validation_start
    on_test_batch_start = on_validation_batch_start
    on_test_end = on_validation_end

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the random generators, should an evaluation have failed."""
        self._restoring.close()

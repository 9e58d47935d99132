"""The same training with Lightning's automatic optimization."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.utilities.types import STEP_OUTPUT, LRSchedulerTypeUnion

from fourbeat.data import Batch, count_samples
from fourbeat.lightning.trainer import scheduler_interval
from fourbeat.loop.supervised import SupervisedModule


class AutomaticModule(SupervisedModule):
    """Returns a loss and leaves zero_grad, backward, clipping and step to Lightning.

    The Trainer gets ``gradient_clip_val`` and ``accumulate_grad_batches`` from ``loop``, the same
    knobs that :class:`~fourbeat.loop.FourBeatModule` reads.
    """

    def training_step(self, batch: Batch, batch_idx: int) -> STEP_OUTPUT:
        """Compute the loss of one micro-batch.

        Args:
            batch: Inputs ``[batch, ...]`` and their targets ``[batch, ...]``.
            batch_idx: Index of the micro-batch in its epoch, from 0.

        Returns:
            The loss to be differentiated, right also in a short last accumulation group.
        """
        inputs, targets = batch
        group = self.accumulation_group(batch_idx)
        loss = self.loss(self.net(inputs), targets)
        self.check_finite(loss)
        self.running_loss.update(loss.detach(), count_samples(batch))
        step = self.num_steps + 1
        if group.is_last and self.log_is_due(step):
            # Before Lightning steps the scheduler.
            self.log_training(self.learning_rates(self.trainer.optimizers[0]), step)
        return group.compensate(loss)

    def lr_scheduler_step(self, scheduler: LRSchedulerTypeUnion, metric: Any | None) -> None:
        """Step a scheduler, except one that counts steps when the scaler skipped the step."""
        by_step = scheduler_interval(self.trainer, scheduler) == "step"
        if not (by_step and self.step_was_skipped):
            super().lr_scheduler_step(scheduler, metric)

"""The same training with Lightning's automatic optimization."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.utilities.types import STEP_OUTPUT

from fourbeat.data import Batch, count_batches_done
from fourbeat.lightning.trainer import scheduler_interval
from fourbeat.loop.backend import as_execution
from fourbeat.loop.loop import Loop
from fourbeat.tasks.mean import by_name, detached


class AutomaticLoop(Loop):
    """Returns a loss and leaves zero_grad, backward, clipping and step to Lightning.

    The Trainer gets ``gradient_clip_val`` and ``accumulate_grad_batches`` from ``loop``, the same
    knobs that :class:`~fourbeat.loop.FourBeatLoop` reads.
    """

    def training_step(self, batch: Batch, batch_idx: int) -> STEP_OUTPUT:
        """Compute the loss of one micro-batch.

        Args:
            batch: Any tree of tensors.
            batch_idx: Index of the micro-batch in its epoch, from 0.

        Returns:
            The loss to be differentiated, right also in a short last accumulation group.
        """
        group = self.accumulation_group(batch_idx)
        (num_samples,) = as_execution(batch, batch_idx, self.trainer).sizes
        self.task_log.num_samples = num_samples
        self.latest_losses = losses = by_name(self.task.losses(batch))
        loss = self.objective(losses, group)
        self.check_finite(loss)
        self.task_log.num_samples = None
        self.running.update(detached(losses), num_samples)
        step = self.num_steps + 1
        if group.is_last and self.log_is_due(step):
            # Before Lightning steps the scheduler.
            self.log_training(self.learning_rates(), step)
        self._num_done = count_batches_done(batch, batch_idx)
        return loss

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> bool:
        """Return whether Lightning may step a scheduler: not when its step was skipped."""
        by_step = scheduler_interval(self.trainer, scheduler) == "step"
        return not (by_step and self.step_was_skipped)

"""The same training with Lightning's automatic optimization."""

from __future__ import annotations

from collections.abc import Mapping

from lightning.pytorch.utilities.types import STEP_OUTPUT

from fourbeat.data import Batch, count_batches_done
from fourbeat.lightning.trainer import set_logged_step
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.backend import as_execution
from fourbeat.loop.loop import Loop
from fourbeat.tasks import Loss
from fourbeat.tasks.mean import call_losses, detached


class AutomaticLoop(Loop):
    """Returns a loss and leaves zero_grad, backward, clipping and step to Lightning.

    The Trainer gets ``gradient_clip_val`` and ``accumulate_grad_batches`` from ``loop``, the same
    knobs that :class:`~fourbeat.loop.FourBeatLoop` reads.
    """

    _latest: tuple[int, int] | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> STEP_OUTPUT:
        """Compute the loss of one micro-batch.

        Args:
            batch: Any tree of tensors.
            batch_idx: Index of the micro-batch in its epoch, from 0.

        Returns:
            The loss to be differentiated, right also in a short last accumulation group.
        """
        self._follow_knobs(self.trainer)
        # Lightning counts by what accumulation is once a batch is over: a callback may change it.
        set_logged_step(self.trainer, self.num_steps)
        group = self.accumulation_group(batch_idx)
        (num_samples,) = as_execution(batch, batch_idx, self.trainer).sizes
        self.task_log.num_samples, self.playing = num_samples, batch
        self.latest_losses = losses = call_losses(self.task.losses, batch)
        loss = self.objective(losses, group)
        self.check_finite(loss)
        self.task_log.num_samples = None
        if not self._is_repeated(batch_idx):
            self._record(detached(losses), num_samples, group)
            self._num_done = count_batches_done(batch, batch_idx)
        return loss

    def _is_repeated(self, batch_idx: int) -> bool:
        """Whether an optimizer calls the closure again, as LBFGS does: the first call counts."""
        former, self._latest = self._latest, (self.trainer.current_epoch, batch_idx)
        return self._latest == former

    def _record(
        self, losses: Mapping[str, Loss], num_samples: int, group: AccumulationGroup
    ) -> None:
        self.running.update(losses, num_samples)
        step = self.num_steps + 1
        if group.is_last and self.log_is_due(step):
            # Before Lightning steps the scheduler.
            self.log_training(self.learning_rates(), step)

"""L3: the training loop's heartbeat in the open: forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import STEP_OUTPUT

from fourbeat.modules.precision import MixedPrecision
from fourbeat.modules.supervised import Batch, SupervisedModule


class FourBeatModule(SupervisedModule):
    """Plays the beats itself (manual optimization), so that they can be read and changed.

    Given the same config, ends with the same weights as
    :class:`~fourbeat.modules.AutomaticModule`, to the last bit.
    """

    automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> STEP_OUTPUT:
        """Play the beats on one micro-batch.

        Args:
            batch: Inputs ``[batch, ...]`` and their targets ``[batch, ...]``.
            batch_idx: Index of the micro-batch in its epoch, from 0.

        Returns:
            The micro-batch's mean loss, detached.
        """
        inputs, targets = batch
        optimizer = self.optimizer
        group = self.accumulation_group(batch_idx)

        with self.autocast():
            outputs = self.net(inputs)  # beat 1: forward
            loss = self.loss(outputs, targets)  # beat 2: loss

        if group.is_first:
            optimizer.zero_grad()
        with self.gradient_sync(enabled=group.is_last):
            self.manual_backward(group.mean(loss))  # beat 3: backward

        if group.is_last:
            self.unscale_gradients(optimizer)
            self.clip_gradients(
                optimizer.optimizer, self.gradient_clip_val, self.gradient_clip_algorithm
            )
            optimizer.step()  # beat 4: step
            self.step_scheduler(ends_epoch=group.ends_epoch)

        return {"loss": loss.detach()}

    @property
    def optimizer(self) -> LightningOptimizer:
        """The one optimizer, in Lightning's wrapper, which counts ``trainer.global_step``."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def autocast(self) -> AbstractContextManager[None]:
        """Autocast to the lower precision of ``trainer.precision``, if it has one."""
        plugin = self.trainer.precision_plugin
        return plugin.forward_context() if isinstance(plugin, MixedPrecision) else nullcontext()

    @contextmanager
    def gradient_sync(self, *, enabled: bool) -> Iterator[None]:
        """Average gradients over the processes only in the backward that a step follows."""
        strategy = self.trainer.strategy
        if enabled or not isinstance(strategy, ParallelStrategy):
            yield
        else:
            with strategy.block_backward_sync():
                yield

    def unscale_gradients(self, optimizer: LightningOptimizer) -> None:
        """Undo the loss scaling of 16-mixed, so that clipping sees the real gradients.

        The tutorial that fourbeat grew out of clips before it unscales: a clip at 1.0 then means a
        clip at 1/65536 and training stands still.
        """
        plugin = self.trainer.precision_plugin
        if isinstance(plugin, MixedPrecision):
            plugin.unscale(optimizer.optimizer)

    def step_scheduler(self, *, ends_epoch: bool) -> None:
        """Move the learning rate on: per step unless the scaler skipped it, and per epoch.

        A plateau's scheduler waits for the validation: ``on_train_epoch_end``.
        """
        if self.plan.monitor:
            return
        due = ends_epoch if self.plan.interval == "epoch" else not self.step_was_skipped
        if due:
            self.plan.scheduler.step()

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Batch, batch_idx: int) -> None:
        """Make the loggers' x-axis count optimizer steps: Lightning would count micro-batches here.

        It adds 1 to this counter right after this hook.
        """
        super().on_train_batch_end(outputs, batch, batch_idx)
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.global_step - 1

    def on_train_epoch_end(self) -> None:
        """Show a plateau's scheduler the metric that it watches, once for each validation."""
        super().on_train_epoch_end()
        every = self.trainer.check_val_every_n_epoch or 1
        metric = self.trainer.callback_metrics.get(self.plan.monitor or "")
        # Absent at the end of an epoch at which a run was resumed, as in Lightning.
        if metric is not None and (self.current_epoch + 1) % every == 0:
            self.plan.scheduler.step(metric)  # type: ignore[arg-type]

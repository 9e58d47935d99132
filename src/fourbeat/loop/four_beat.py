"""The training loop's heartbeat in the open: forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from torch.optim import Optimizer

from fourbeat.events import Beats
from fourbeat.lightning.trainer import precision_of, set_logged_step
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.backend import LoaderItem
from fourbeat.loop.fast_path import fast_optimizer_calls, find_hook_user
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.supervised import SupervisedModule


class FourBeatModule(SupervisedModule):
    """Plays the beats itself (manual optimization), so that they can be read and changed.

    An optimizer step happens in one of three ways, with the same result: through PyTorch alone,
    where no callback, strategy or profiler of Lightning's wants to see it (the fast path); through
    Lightning's hooks, where one does; or within a compiled graph, which the backend plays.

    Given the same config, the weights at the end are bitwise identical to those of
    :class:`~fourbeat.loop.AutomaticModule`.

    Attributes:
        notify: Notifies the observers of each beat.
    """

    automatic_optimization = False

    notify = Beats()

    def training_step(self, batch: LoaderItem, batch_idx: int) -> STEP_OUTPUT:
        """Play the beats on each micro-batch that the loader has yielded.

        Args:
            batch: Inputs ``[batch, ...]`` and targets ``[batch, ...]``, or several such pairs.
            batch_idx: Index of the batch in its epoch, from 0.

        Returns:
            The last micro-batch's mean loss, detached.
        """
        for index, (inputs, targets), size in self.backend.micro_batches(batch, batch_idx):
            group = self.accumulation_group(index)
            rates = self.rates_if_due(self.num_steps + 1) if group.is_last else None
            loss = self.beats(inputs, targets, group)
            self.record(loss, size, rates)
        return {"loss": self.latest_loss}

    def beats(self, inputs: Tensor, targets: Tensor, group: AccumulationGroup) -> Tensor:
        """Play the beats on one micro-batch.

        Args:
            inputs: ``[batch, ...]``.
            targets: ``[batch, ...]``.
            group: The micro-batches that share an optimizer step with this one.

        Returns:
            Its mean loss, detached.
        """
        with self.autocast():
            outputs = self.net(inputs)  # beat 1: forward
            self.notify.forward(outputs)
            loss = self.loss(outputs, targets)  # beat 2: loss
        scaled_loss = group.mean(loss)
        self.notify.loss(scaled_loss)
        self.check_finite(loss)

        if group.is_first:
            self.zero_gradients()
        with self.gradient_sync(enabled=group.is_last):
            self.differentiate(scaled_loss)  # beat 3: backward
        self.notify.backward()

        if group.is_last:
            self.unscale_gradients(self.optimizer)
            self.notify.unscale(self.optimizer)
            if self.gradient_clip_val:
                self.clip_gradients(
                    self.optimizer, self.gradient_clip_val, self.gradient_clip_algorithm
                )
            self.notify.clip(self.optimizer)
            self.update_weights()  # beat 4: step
            applied = not self.step_was_skipped
            self.notify.step(self.optimizer.param_groups, group.batch_idx, applied)
            self.step_scheduler(ends_epoch=group.ends_epoch)

        detached: Tensor = loss.detach()
        return detached

    def on_train_start(self) -> None:
        """Find out who observes the beats, and look up once what Lightning is slow to find."""
        trainer = self.trainer
        (self.optimizer,) = trainer.optimizers
        self.notify = Beats(self.observers)
        self.bypasses_hooks = find_hook_user(trainer, self) is None
        plugin, strategy = precision_of(trainer), trainer.strategy
        self._mixed = plugin if isinstance(plugin, MixedPrecision) else None
        self._parallel = strategy if isinstance(strategy, ParallelStrategy) else None
        super().on_train_start()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the calls that zero and step (see ``fast_path``): hooks may have been added since."""
        self._zero_grad, self._step = fast_optimizer_calls(self.optimizer)

    def rates_if_due(self, step: int) -> dict[str, float] | None:
        """Return the learning rates, if they and the loss are logged after this optimizer step."""
        return self.learning_rates(self.optimizer) if self.log_is_due(step) else None

    def record(self, loss: Tensor, num_samples: int, rates: Mapping[str, float] | None) -> None:
        """Add a micro-batch to the mean loss, and log that if it is due.

        Args:
            loss: Its mean, detached.
            num_samples: Its size.
            rates: The learning rates of the step just made; None if nothing is due.
        """
        self.latest_loss = loss
        self.running_loss.update(loss, num_samples)
        if rates is not None:
            self.log_training(rates, self.num_steps)

    def count_step(self) -> None:
        """Count an optimizer step that bypassed Lightning's own counter."""
        self._counter.increment()

    def zero_gradients(self) -> None:
        """Drop the gradients of earlier steps, as ``optimizer.zero_grad()`` does."""
        self._zero_grad()

    def differentiate(self, loss: Tensor) -> None:
        """Compute the gradients, through Lightning's hooks if anybody uses them."""
        if self.bypasses_hooks:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self.manual_backward(loss)

    def update_weights(self) -> None:
        """Apply an optimizer step and count it, through Lightning's hooks if anybody uses them."""
        if self.bypasses_hooks:
            self._step()
            self.count_step()
        else:
            optimizer = self.optimizers()
            assert isinstance(optimizer, LightningOptimizer)
            optimizer.step()

    def autocast(self) -> AbstractContextManager[None]:
        """Autocast to the lower precision of ``trainer.precision``, if it has one."""
        return self._mixed.forward_context() if self._mixed else nullcontext()

    def gradient_sync(self, *, enabled: bool) -> AbstractContextManager[None]:
        """Average gradients over the processes only in the backward that a step follows."""
        if enabled or self._parallel is None:
            return nullcontext()
        return self._parallel.block_backward_sync()

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Undo the loss scaling of 16-mixed, so that clipping sees the real gradients.

        The tutorial that fourbeat grew out of clips before it unscales: a clip at 1.0 then means a
        clip at 1/65536 and training stands still.
        """
        if self._mixed:
            self._mixed.unscale(optimizer)

    def step_scheduler(self, *, ends_epoch: bool) -> None:
        """Step the learning-rate scheduler, per optimizer step that was applied or per epoch.

        A plateau's scheduler waits for the validation: ``on_train_epoch_end``.
        """
        if self.plan.monitor:
            return
        due = ends_epoch if self.plan.interval == "epoch" else not self.step_was_skipped
        if due:
            self.plan.scheduler.step()

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        """Make the loggers' x-axis count optimizer steps: Lightning would count loader items."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        set_logged_step(self.trainer, self.num_steps - 1)

    def on_train_epoch_end(self) -> None:
        """Step a plateau's scheduler with the metric that it monitors, once for each validation."""
        super().on_train_epoch_end()
        every = self.validations.every_n_epochs or 1
        metric = self.trainer.callback_metrics.get(self.plan.monitor or "")
        # Absent at the end of an epoch at which a run was resumed, as in Lightning.
        if metric is not None and (self.current_epoch + 1) % every == 0:
            self.plan.scheduler.step(metric)  # type: ignore[arg-type]

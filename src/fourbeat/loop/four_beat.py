"""L3: the training loop's heartbeat in the open: forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from torch.optim import Optimizer

from fourbeat.data import Execution
from fourbeat.events import Beats
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.listeners import fast_optimizer_calls, find_hook_user
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.supervised import Batch, SupervisedModule, mini_batches

if TYPE_CHECKING:
    from fourbeat.compile.player import CompiledPlayer


class FourBeatModule(SupervisedModule):
    """Plays the beats itself (manual optimization), so that they can be read and changed.

    Given the same config, ends with the same weights as
    :class:`~fourbeat.loop.AutomaticModule`, to the last bit.

    Attributes:
        after: Tells the observers of each beat.
    """

    automatic_optimization = False

    after = Beats()

    def training_step(self, batch: Batch | Execution, batch_idx: int) -> STEP_OUTPUT:
        """Play the beats on each micro-batch that the loader has handed over.

        Args:
            batch: A micro-batch, or an execution of several.
            batch_idx: Index of the micro-batch in its epoch, from 0; an execution knows its own.

        Returns:
            The last micro-batch's mean loss, detached.
        """
        self._zero_grad, self._step = fast_optimizer_calls(self.optimizer)
        first = batch.batch_idx if isinstance(batch, Execution) else batch_idx
        losses = self._player.play(batch, first) if self._player else []
        rest = mini_batches(batch, len(losses))
        for index, (inputs, targets) in enumerate(rest, start=first + len(losses)):
            group = self.accumulation_group(index)
            rates = self.rates_if_due(self.num_steps + 1) if group.is_last else None
            losses.append(self.beats(inputs, targets, group))
            self.record(losses[-1], inputs.shape[0], rates)
        return {"loss": losses[-1]}

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
            self.after.forward(outputs)
            loss = self.loss(outputs, targets)  # beat 2: loss
        share = group.mean(loss)
        self.after.loss(share)
        self.check_finite(loss)

        if group.is_first:
            self.zero_gradients()
        with self.gradient_sync(enabled=group.is_last):
            self.differentiate(share)  # beat 3: backward
        self.after.backward()

        if group.is_last:
            self.unscale_gradients(self.optimizer)
            self.after.unscale(self.optimizer)
            if self.gradient_clip_val:
                self.clip_gradients(
                    self.optimizer, self.gradient_clip_val, self.gradient_clip_algorithm
                )
            self.after.clip(self.optimizer)
            self.update_weights()  # beat 4: step
            taken = not self.step_was_skipped
            self.after.step(self.optimizer.param_groups, group.batch_idx, taken)
            self.step_scheduler(ends_epoch=group.ends_epoch)

        detached: Tensor = loss.detach()
        return detached

    def on_train_start(self) -> None:
        """See who wants to be told of the beats, and keep what Lightning takes long to find."""
        super().on_train_start()
        trainer = self.trainer
        (self.optimizer,) = trainer.optimizers
        self.after = Beats(self.observers)
        self.unheard = find_hook_user(trainer, self) is None
        plugin, strategy = trainer.precision_plugin, trainer.strategy
        self._mixed = plugin if isinstance(plugin, MixedPrecision) else None
        self._parallel = strategy if isinstance(strategy, ParallelStrategy) else None
        self._player = self._compiled_player() if self.compile_training else None

    def _compiled_player(self) -> CompiledPlayer:
        # Late: torch's compiler takes a second to import.
        from fourbeat.compile.player import CompiledPlayer

        return CompiledPlayer(self)

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
        self.running_loss.update(loss, num_samples)
        if rates is not None:
            self.log_training(rates, self.num_steps)

    def count_step(self) -> None:
        """Count an optimizer step that Lightning has not seen."""
        self._progress.increment_ready()
        self._progress.increment_completed()

    def zero_gradients(self) -> None:
        """Forget the gradients of the steps before, as ``optimizer.zero_grad()`` does."""
        self._zero_grad()

    def differentiate(self, loss: Tensor) -> None:
        """Compute the gradients and tell Lightning's hooks, if anybody listens to them."""
        if self.unheard:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self.manual_backward(loss)

    def update_weights(self) -> None:
        """Make an optimizer step, which counts, and tell Lightning's hooks as above."""
        if self.unheard:
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
        """Move the learning rate on: per step unless the scaler skipped it, and per epoch.

        A plateau's scheduler waits for the validation: ``on_train_epoch_end``.
        """
        if self.plan.monitor:
            return
        due = ends_epoch if self.plan.interval == "epoch" else not self.step_was_skipped
        if due:
            self.plan.scheduler.step()

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        """Make the loggers' x-axis count optimizer steps: Lightning would count what it was handed.

        It adds 1 to this counter right after this hook.
        """
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.num_steps - 1

    def on_train_epoch_end(self) -> None:
        """Show a plateau's scheduler the metric that it watches, once for each validation."""
        super().on_train_epoch_end()
        every = self.trainer.check_val_every_n_epoch or 1
        metric = self.trainer.callback_metrics.get(self.plan.monitor or "")
        # Absent at the end of an epoch at which a run was resumed, as in Lightning.
        if metric is not None and (self.current_epoch + 1) % every == 0:
            self.plan.scheduler.step(metric)  # type: ignore[arg-type]

"""The training loop's heartbeat in the open: forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.base.errors import RunError
from fourbeat.data.batches import Batch
from fourbeat.events import Beats, Hooks, Observer
from fourbeat.lightning.distributed import broadcast_buffers
from fourbeat.lightning.trainer import precision_of, set_logged_step
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.backend import LoaderItem, as_execution
from fourbeat.loop.fast_path import find_hook_user
from fourbeat.loop.loop import Loop
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.turns import Turn, average_gradients, read_turn
from fourbeat.tasks import Loss
from fourbeat.tasks.mean import TOTAL, by_name, detached, in_turn, total_of


class FourBeatLoop(Loop):
    """Plays the beats itself (manual optimization), so that they can be read and changed.

    An optimizer step happens in one of three ways, with the same result: through PyTorch alone,
    where no callback, strategy or profiler of Lightning's wants to see it (the fast path); through
    Lightning's hooks, where one does; or within a compiled graph, which the backend plays.

    Given the same config, the weights at the end are bitwise identical to those of
    :class:`~fourbeat.loop.AutomaticLoop`, for a task with one optimizer.

    Attributes:
        turns: The optimizers by name, in whose turns the weights are updated; a single one is "".
        observers: Are notified of the beats.
        notify: Notifies them.
        latest_loss: Of the latest turn, detached; None before the first one.
    """

    latest_loss: Tensor | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.task.automatic_optimization = False
        self.turns: dict[str, Turn] = {}
        self.observers: list[Observer] = []
        self.notify = Beats()
        self._hooks = Hooks()

    def observe(self, observers: Sequence[Observer]) -> None:
        """Notify observers of the beats from now on, after those that are notified already."""
        self._notify([*self.observers, *observers])

    def forget(self, observers: Sequence[Observer]) -> None:
        """Notify observers no longer."""
        self._notify([o for o in self.observers if o not in observers])

    def _notify(self, observers: list[Observer]) -> None:
        self.observers, self.notify = observers, Beats(observers)
        self._hooks.close()
        if self.notify.wants_forward:
            self._hooks.add(self.task.net.register_forward_hook(self._after_forward))

    def _after_forward(self, net: nn.Module, inputs: Any, outputs: Any) -> None:
        if net.training:
            self.notify.forward(outputs)

    def training_step(self, batch: LoaderItem, batch_idx: int) -> STEP_OUTPUT:
        """Play the beats on each micro-batch that the loader has yielded.

        Args:
            batch: Any tree of tensors, or an execution of several such batches.
            batch_idx: Index of the batch in its epoch, from 0.

        Returns:
            The last micro-batch's mean loss, detached; None before the first turn.
        """
        for turn in self.turns.values():
            turn.look_up_calls()
        execution = as_execution(batch, batch_idx, self.trainer)
        num_done, self.task_log.is_training = execution.num_played, True
        for index, micro_batch, num_samples in self.backend.micro_batches(execution):
            group = self.accumulation_group(index)
            self.task_log.num_samples = num_samples
            self.beats(micro_batch, num_samples, group)
            if group.is_last and index + 1 < num_done:
                self.task_log.end_step()
        self.task_log.num_samples, self.task_log.is_training = None, False
        # The loggers' x-axis counts optimizer steps: Lightning would count loader items.
        set_logged_step(self.trainer, self.num_steps - 1)
        self._num_done = num_done
        return None if self.latest_loss is None else {"loss": self.latest_loss}

    def beats(self, batch: Batch, num_samples: int, group: AccumulationGroup) -> None:
        """Play the beats on one micro-batch; on several optimizers in turn, if the task has turns.

        Args:
            batch: Any tree of tensors.
            num_samples: How many samples it has.
            group: The micro-batches that share an optimizer step with this one.
        """
        for turn, losses in self.turns_on(batch):  # beats 1 and 2: forward, loss
            loss = group.divide(self.objective(losses, group))
            self.notify.losses(losses)
            self.notify.loss(loss)
            self.check_finite(loss, turn.name or TOTAL)

            if group.is_first:
                self.zero_gradients()
            with self.gradient_sync(enabled=group.is_last):
                self.differentiate(loss, turn)  # beat 3: backward
            self.notify.backward()

            rates = None
            if group.is_last:
                self.unscale_gradients(turn.optimizer)
                self.notify.unscale(turn.optimizer)
                self.clip_gradients(turn.optimizer)
                self.notify.clip(turn.optimizer)
                rates = self.rates_if_due(self.num_steps + 1, turn.name)
                self.update_weights(turn)  # beat 4: step
                applied = not self.step_was_skipped
                self.notify.step(turn.optimizer.param_groups, group.batch_idx, applied)
                self.step_scheduler(turn, ends_epoch=group.ends_epoch)
            self.record(detached(losses), num_samples, rates)

    def turns_on(self, batch: Batch) -> Iterator[tuple[Turn, Mapping[str, Loss]]]:
        """Have the task play its beats, forward and loss, and yield whose turn it is then.

        Args:
            batch: Any tree of tensors.

        Yields:
            The optimizer that steps next, and the losses by name.

        Raises:
            RunError: The task yields what is no turn of an optimizer.
        """
        if not self.task.takes_turns:
            with self.autocast():
                losses = by_name(self.task.losses(batch))
            yield self.turns[""], losses
            return
        task, steps = type(self.task).__name__, iter(self.task.steps(batch))
        while (yielded := read_turn(steps, self.autocast(), task)) is not None:
            name, loss = yielded
            if name not in self.turns:
                names = ", ".join(self.turns)
                raise RunError(f"{task}.steps() yields {name!r}: there are the optimizers {names}.")
            self.notify.turn(self.turns[name].index)
            yield self.turns[name], in_turn(name, loss)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look up once what Lightning is slow to find."""
        wrappers = pl_module.optimizers()
        each = wrappers if isinstance(wrappers, list) else [wrappers]
        self.turns = {
            name: Turn(name, index, optimizer, each[index], self.optim.plans[name])
            for index, (name, optimizer) in enumerate(self.optim.optimizers.items())
        }
        self.bypasses_hooks = find_hook_user(trainer, pl_module) is None
        plugin, strategy = precision_of(trainer), trainer.strategy
        self._mixed = plugin if isinstance(plugin, MixedPrecision) else None
        self._parallel = strategy if isinstance(strategy, ParallelStrategy) else None
        super().on_train_start(trainer, pl_module)

    def rates_if_due(self, step: int, name: str = "") -> dict[str, float] | None:
        """Return an optimizer's rates, if they and the losses are logged after this step."""
        return self.learning_rates(name) if self.log_is_due(step) else None

    def record(
        self, losses: Mapping[str, Loss], num_samples: int, rates: Mapping[str, float] | None
    ) -> None:
        """Add a micro-batch to the mean losses, and log them if that is due.

        Args:
            losses: By name, detached.
            num_samples: Its size.
            rates: The learning rates of the step just made; None if nothing is due.
        """
        self.latest_loss = total_of(losses)
        self.running.update(losses, num_samples)
        if rates is not None:
            self.log_training(rates, self.num_steps)

    def count_step(self) -> None:
        """Count an optimizer step that bypassed Lightning's own counter."""
        self._counter.increment()

    def zero_gradients(self) -> None:
        """Drop the gradients of earlier steps, as ``optimizer.zero_grad()`` does.

        Those of all optimizers: what another's turn has left would be recorded as of this one.
        """
        for turn in self.turns.values():
            turn.zero_grad()

    def differentiate(self, loss: Tensor, turn: Turn) -> None:
        """Compute the gradients, through Lightning's hooks if anybody uses them.

        In a task with turns, those of the turn's parameters alone.
        """
        inputs = turn.parameters if self.task.takes_turns else None
        if self.bypasses_hooks:
            loss.backward(inputs=inputs)  # type: ignore[no-untyped-call]
        elif inputs is None:
            self.task.manual_backward(loss)
        else:
            self._differentiate_alone(loss, turn)

    def _differentiate_alone(self, loss: Tensor, turn: Turn) -> None:
        """Average a turn's gradients here: DDP would wait for those of the other parameters."""
        with self.gradient_sync(enabled=False):
            self.task.manual_backward(loss, inputs=turn.parameters)
        if self.trainer.world_size > 1:
            average_gradients(turn.parameters, self.trainer.strategy)
            broadcast_buffers(self.trainer)

    def update_weights(self, turn: Turn) -> None:
        """Apply an optimizer step and count it, through Lightning's hooks if anybody uses them."""
        if self.bypasses_hooks:
            turn.step()
            self.count_step()
        else:
            turn.wrapper.step()

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

    def clip_gradients(self, optimizer: Optimizer) -> None:
        """Clip what the optimizer will step with, if ``loop.gradient_clip_val`` says so."""
        if self.gradient_clip_val:
            self.task.clip_gradients(
                optimizer, self.gradient_clip_val, self.gradient_clip_algorithm
            )

    def step_scheduler(self, turn: Turn, *, ends_epoch: bool) -> None:
        """Step an optimizer's scheduler, per step that was applied or per epoch.

        A plateau's scheduler waits for the validation: ``on_train_epoch_end``.
        """
        plan = turn.plan
        if plan.monitor or (self.task.takes_turns and plan.interval == "epoch"):
            return
        due = ends_epoch if plan.interval == "epoch" else not self.step_was_skipped
        if due:
            plan.scheduler.step()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Step a plateau's scheduler with the metric that it monitors, once for each validation.

        And those per epoch of a task with turns, of which nobody knows which one is the last.
        """
        super().on_train_epoch_end(trainer, pl_module)
        every = self.validations.every_n_epochs or 1
        for plan in self.optim.plans.values():
            metric = trainer.callback_metrics.get(plan.monitor or "")
            # Absent at the end of an epoch at which a run was resumed, as in Lightning.
            if metric is not None and (trainer.current_epoch + 1) % every == 0:
                plan.scheduler.step(metric)  # type: ignore[arg-type]
            elif not plan.monitor and plan.interval == "epoch" and self.task.takes_turns:
                plan.scheduler.step()

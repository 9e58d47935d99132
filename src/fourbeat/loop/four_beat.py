"""The training loop's heartbeat in the open: forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.base.errors import RunError
from fourbeat.data.batches import Batch
from fourbeat.events import Beats, Hooks, Observer, OwnHook
from fourbeat.lightning.distributed import broadcast_buffers
from fourbeat.lightning.trainer import set_logged_step
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.backend import LoaderItem, as_execution
from fourbeat.loop.hooked import HookedBeats
from fourbeat.loop.manual import ManualLoop
from fourbeat.loop.turns import Turn, average_gradients, read_turn
from fourbeat.tasks import Loss
from fourbeat.tasks.mean import TOTAL, call_losses, detached, in_turn


class FourBeatLoop(ManualLoop):
    """Plays the beats itself (manual optimization), so that they can be read and changed.

    An optimizer step happens in one of three ways, with the same result: through PyTorch alone,
    where no callback, strategy or profiler of Lightning's wants to see it (the fast path); through
    Lightning's hooks, where one does; or within a compiled graph, which the backend plays.

    Given the same config, the weights at the end are bitwise identical to those of
    :class:`~fourbeat.loop.AutomaticLoop`, for a task with one optimizer.

    Attributes:
        observers: Are notified of the beats.
        notify: Notifies them.
        latest_loss: What was differentiated last, detached; None before the first turn.
    """

    latest_loss: Tensor | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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
            self._hooks.add(self.task.net.register_forward_hook(OwnHook(self._after_forward)))

    def _after_forward(self, net: nn.Module, inputs: Any, outputs: Any) -> None:
        if net.training:
            self.notify.forward(outputs)

    def training_step(self, batch: LoaderItem, batch_idx: int) -> STEP_OUTPUT:
        """Play the beats on each micro-batch that the loader has yielded.

        Args:
            batch: Any tree of tensors, or an execution of several such batches.
            batch_idx: Index of the batch in its epoch, from 0.

        Returns:
            The last micro-batch's loss as it was differentiated, which is its share of the step's;
            None before the first turn.
        """
        self.follow_trainer()
        execution = as_execution(batch, batch_idx, self.trainer)
        num_done, self.task_log.is_training = execution.num_played, True
        for index, micro_batch, num_samples in self.backend.micro_batches(execution):
            group = self.accumulation_group(index)
            self.task_log.num_samples, self.playing = num_samples, micro_batch
            self.beats(micro_batch, num_samples, group)
            if self.trainer_is_done(group):
                num_done = index + 1
                self.cut_epoch(num_done)
                break
            if group.is_last and index + 1 < num_done:
                self.task_log.end_step()
        self.task_log.num_samples, self.task_log.is_training = None, False
        self._num_done = num_done
        # The loggers' x-axis counts optimizer steps: Lightning would count loader items.
        set_logged_step(self.trainer, self.num_steps - self._step_is_complete())
        return None if self.latest_loss is None else {"loss": self.latest_loss}

    def look_up_users(self) -> None:
        """Look up whether the beats are played through Lightning's hooks, too."""
        super().look_up_users()
        self.hooked = None if self.bypasses_hooks else HookedBeats(self, self._trainer)

    def beats(self, batch: Batch, num_samples: int, group: AccumulationGroup) -> None:
        """Play the beats on one micro-batch; on several optimizers in turn, if the task has turns.

        Args:
            batch: Any tree of tensors.
            num_samples: How many samples it has.
            group: The micro-batches that share an optimizer step with this one.
        """
        if self.hooked is not None:
            self.play_through_hooks(self.hooked, batch, num_samples, group)
            return
        for turn, losses in self.turns_on(batch):  # beats 1 and 2: forward, loss
            loss = self.begin_backward(losses, group, turn.name or TOTAL)
            self.latest_loss = loss.detach()

            if group.is_first:
                self.zero_gradients()
            if not self.skips_backward:
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
                self.schedules.after_step(turn.optimizer, group.batch_idx)
            self.record(detached(losses), num_samples, rates)

    def begin_backward(
        self, losses: Mapping[str, Loss], group: AccumulationGroup, name: str
    ) -> Tensor:
        """Return what is differentiated; observers are notified of it, and NaN or Inf stops.

        Args:
            losses: Of a micro-batch, by name.
            group: The micro-batches that share an optimizer step with it.
            name: Of what is differentiated, for messages.
        """
        loss = group.divide(self.objective(losses, group))
        self.notify.losses(losses)
        self.notify.loss(loss)
        self.check_finite(loss, name)
        return loss

    def play_through_hooks(
        self, hooked: HookedBeats, batch: Batch, num_samples: int, group: AccumulationGroup
    ) -> None:
        """Play the beats on one micro-batch where anybody uses Lightning's hooks."""
        if self.task.takes_turns:
            for turn, losses in self.turns_on(batch):
                hooked.play(turn, partial(dict, losses), num_samples, group)
        else:
            hooked.play(self.turns[""], partial(self.losses_of, batch), num_samples, group)

    def losses_of(self, batch: Batch) -> Mapping[str, Loss]:
        """Have the task play beats 1 and 2, forward and loss."""
        with self.autocast():
            return call_losses(self.task.losses, batch)

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
            yield self.turns[""], self.losses_of(batch)
            return
        task, steps = type(self.task).__name__, iter(self.task.steps(batch))
        while (yielded := read_turn(steps, self.autocast(), task)) is not None:
            name, loss = yielded
            if name not in self.turns:
                names = ", ".join(self.turns)
                raise RunError(f"{task}.steps() yields {name!r}: there are the optimizers {names}.")
            self.notify.turn(self.turns[name].index)
            yield self.turns[name], in_turn(name, loss)

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
        self.running.update(losses, num_samples)
        if rates is not None:
            self.log_training(rates, self.num_steps)

    def zero_gradients(self, others_than: Turn | None = None) -> None:
        """Drop the gradients of earlier steps, as ``optimizer.zero_grad()`` does.

        Those of all optimizers: what another's turn has left would be recorded as of this one.

        Args:
            others_than: Whose have been dropped.
        """
        for turn in self.turns.values():
            if turn is not others_than:
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
        """Apply an optimizer step and count it, past Lightning's hooks."""
        turn.step()
        self.count_step()

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

"""The beats through Lightning's hooks, where anybody uses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import Optimizer

from fourbeat.base.errors import RunError
from fourbeat.events import Beats
from fourbeat.lightning.optimization import (
    call_hooks,
    call_module_hook,
    clip_within_steps,
    count_no_steps,
)
from fourbeat.lightning.trainer import precision_of
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.turns import Turn
from fourbeat.tasks import Loss
from fourbeat.tasks.mean import TOTAL, detached

if TYPE_CHECKING:
    from fourbeat.loop.four_beat import FourBeatLoop

_Losses = Mapping[str, Loss]


class HookedBeats:
    """Plays a micro-batch as Lightning's automatic optimization does: in a closure of the step.

    The hooks are called in its order: ``optimizer_step`` of the module, and within it, by the
    optimizer, the closure: forward and loss, ``on_before_zero_grad``, ``optimizer_zero_grad``,
    ``on_before_backward``, ``backward``, ``on_after_backward``, ``on_before_optimizer_step``,
    ``configure_gradient_clipping``. An optimizer may call the closure several times, as LBFGS
    does: observers are notified of the first call, and its loss is what is logged.

    Args:
        loop: Whose beats they are.
        trainer: Whose hooks are called.
    """

    def __init__(self, loop: FourBeatLoop, trainer: Trainer) -> None:
        self._loop, self._trainer = loop, trainer
        self._first: _Losses | None = None
        self._rates: Mapping[str, float] | None = None
        self._is_clipped = False
        clip_within_steps(precision_of(trainer), self._clip)

    def play(
        self, turn: Turn, compute: Callable[[], _Losses], num_samples: int, group: AccumulationGroup
    ) -> None:
        """Play the beats of one turn on one micro-batch.

        Args:
            turn: Whose it is.
            compute: Beats 1 and 2; called each time that the optimizer calls the closure.
            num_samples: How many samples the micro-batch has.
            group: The micro-batches that share an optimizer step with it.

        Raises:
            RunError: Somebody's ``optimizer_step`` has not called its closure.
        """
        loop, self._first, self._rates = self._loop, None, None
        self._is_clipped = False

        def closure() -> Tensor:
            return self._closure(turn, compute, group)

        if group.is_last:
            self._step(turn, closure, group)
        else:
            with loop.gradient_sync(enabled=False):
                closure()
        if self._first is None:
            raise RunError(
                f"{type(loop.task).__name__}.optimizer_step, or the step of "
                f"{type(turn.optimizer).__name__}, has not called its closure: there is no loss."
            )
        loop.record(detached(self._first), num_samples, self._rates)

    def _step(self, turn: Turn, closure: Callable[[], Tensor], group: AccumulationGroup) -> None:
        loop, trainer = self._loop, self._trainer
        count_no_steps(turn.wrapper)
        epoch, batch_idx = trainer.current_epoch, group.batch_idx
        call_module_hook(trainer, "optimizer_step", epoch, batch_idx, turn.wrapper, closure)
        loop.count_step()
        applied = not loop.step_was_skipped
        loop.notify.step(turn.optimizer.param_groups, batch_idx, applied)
        loop.schedules.after_step(turn.optimizer, batch_idx)

    def _closure(
        self, turn: Turn, compute: Callable[[], _Losses], group: AccumulationGroup
    ) -> Tensor:
        """Beats 1 to 3: forward, loss, backward."""
        loop, observed = self._loop, self._loop.notify
        if self._first is not None:
            loop.notify = Beats()
        try:
            with torch.enable_grad():
                losses = compute()
                loss = loop.begin_backward(losses, group, turn.name or TOTAL)
                loop.latest_loss = loss.detach().clone()  # hooks may change it in place
                if self._first is None:
                    self._first = losses
                    if group.is_last:
                        self._rates = loop.rates_if_due(loop.num_steps + 1, turn.name)
                if not loop.skips_backward:
                    self._backward(loss, turn, group)
        finally:
            loop.notify = observed
        return loop.latest_loss

    def _backward(self, loss: Tensor, turn: Turn, group: AccumulationGroup) -> None:
        loop, trainer = self._loop, self._trainer
        if group.is_first:
            call_hooks(trainer, "on_before_zero_grad", turn.optimizer)
            where = (trainer.current_epoch, group.batch_idx, turn.optimizer)
            call_module_hook(trainer, "optimizer_zero_grad", *where)
            loop.zero_gradients(others_than=turn)
        loop.differentiate(loss, turn)
        loop.notify.backward()

    def _clip(self, optimizer: Optimizer) -> None:
        """Clip; Lightning calls it, after ``on_before_optimizer_step``, for each closure call."""
        loop, is_first = self._loop, not self._is_clipped
        if is_first:
            loop.notify.unscale(optimizer)
        call_module_hook(
            self._trainer,
            "configure_gradient_clipping",
            optimizer,
            gradient_clip_val=self._trainer.gradient_clip_val,
            gradient_clip_algorithm=self._trainer.gradient_clip_algorithm,
        )
        if is_first:
            self._is_clipped = True
            loop.notify.clip(optimizer)

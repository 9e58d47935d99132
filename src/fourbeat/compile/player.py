"""L3: ``loop.compile=true``: an execution's optimizer steps through compiled graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from fourbeat.compile.calls import compile_calls
from fourbeat.compile.messages import CompileFailure, say
from fourbeat.compile.steps import CompiledResult, CompiledSteps, whole_step_obstacle
from fourbeat.compile.update import scheduled_hyperparameters
from fourbeat.data import EpochOrder, Execution
from fourbeat.events import GradientNorms, Norms
from fourbeat.loop.listeners import find_hook_user

if TYPE_CHECKING:
    from fourbeat.loop.four_beat import FourBeatModule


class Ahead(NamedTuple):
    """What an optimizer step will need, noted before it is made.

    Attributes:
        hyperparameters: Of each parameter group.
        rates: To be logged with this step's loss; None if nothing is due then.
    """

    hyperparameters: Sequence[Mapping[str, Any]]
    rates: Mapping[str, float] | None


class CompiledPlayer:
    """Plays a training's full mini-batches in graphs of whole optimizer steps.

    What stands in the way of that is said in one line, and then forward and loss alone are
    compiled. Short mini-batches are left to the module: each would need a graph of its own.

    Args:
        module: About to train.
    """

    def __init__(self, module: FourBeatModule) -> None:
        self._module = module
        loader = module.trainer.train_dataloader
        order = getattr(loader, "sampler", None)
        # Not that of the first batch: a run may be gone on with at a short last one.
        self._batch_size = order.batch_size if isinstance(order, EpochOrder) else 0
        self._steps: CompiledSteps | None = None
        if reason := _obstacle(module):
            self._compile_calls(reason)
            return
        say("loop.compile=true: whole optimizer steps are compiled, several per graph")
        self._steps = CompiledSteps(
            module.net,
            module.loss,
            module.optimizer,
            gradient_clip_val=module.gradient_clip_val,
            gradient_clip_algorithm=module.gradient_clip_algorithm,
            autocast=module.autocast,
        )

    def play(self, batch: Execution | Sequence[Tensor], batch_idx: int) -> list[Tensor]:
        """Make an optimizer step for each full mini-batch.

        Args:
            batch: A mini-batch, or an execution of several.
            batch_idx: Index of the first one in its epoch.

        Returns:
            The loss of each mini-batch that was played: all full ones, or none.
        """
        if not isinstance(batch, Execution):
            batch = Execution(batch[0], batch[1], (len(batch[0]),), batch_idx)
        sizes = batch.sizes
        self._batch_size = self._batch_size or sizes[0]
        count = sizes.count(self._batch_size)
        if self._steps is None or count == 0:
            return []
        scheduler = self._module.plan.scheduler
        before = scheduler.state_dict()
        ahead = [self._look_ahead(batch_idx, i) for i in range(count)]
        hyperparameters = [step.hyperparameters for step in ahead]
        try:
            played = self._steps.play(
                batch,
                hyperparameters,
                measure=self._module.after.hear_norms,
            )
        except CompileFailure as failure:
            scheduler.load_state_dict(before)
            for group, old in zip(
                scheduler.optimizer.param_groups, hyperparameters[0], strict=True
            ):
                group.update(old)
            self._steps = None
            self._compile_calls(str(failure))
            return []
        return self._tell(played, ahead, batch_idx)

    def _tell(self, played: CompiledResult, ahead: Sequence[Ahead], batch_idx: int) -> list[Tensor]:
        """Count the steps, and tell of each; return their losses."""
        module, losses = self._module, list(played.losses.unbind())
        raw, clipped = _each(played.norms), _each(played.clipped)
        for position, (loss, step) in enumerate(zip(losses, ahead, strict=True)):
            module.check_finite(loss, corrupted=True)
            module.count_step()
            module.after.loss(loss)
            if raw:
                own = clipped[position] if clipped else None
                num_later = len(losses) - position - 1
                norms = GradientNorms(played.parameters, raw[position], own, num_later)
                module.after.norms(norms)
            module.after.step(step.hyperparameters, batch_idx + position, True)
            module.record(loss, self._batch_size, step.rates)
        return losses

    def _look_ahead(self, batch_idx: int, position: int) -> Ahead:
        """Note what a step will need, and move the learning rate on to the next one."""
        module = self._module
        hyperparameters = scheduled_hyperparameters(module.optimizer)
        rates = module.rates_if_due(module.num_steps + position + 1)
        group = module.accumulation_group(batch_idx + position)
        module.step_scheduler(ends_epoch=group.ends_epoch)
        return Ahead(hyperparameters, rates)

    def _compile_calls(self, reason: str) -> None:
        say("loop.compile=true: forward and loss alone are compiled: %s", reason)
        compile_calls(self._module.net, self._module.loss)


def _each(norms: Tensor | None) -> list[Norms]:
    """Return those of each step: numbers, if that means to wait for nothing."""
    if norms is None:
        return []
    rows: list[Norms] = norms.tolist() if norms.is_cpu else [row.unbind() for row in norms]
    return rows


def _obstacle(module: FourBeatModule) -> str | None:
    """Say why whole steps cannot be compiled, as the end of a sentence."""
    if who := find_hook_user(module.trainer, module):
        return f"{who} takes part in each step"
    if module.accumulate_grad_batches > 1:
        return f"loop.accumulate_grad_batches={module.accumulate_grad_batches}"
    return whole_step_obstacle(module.net, module.loss, module.optimizer)

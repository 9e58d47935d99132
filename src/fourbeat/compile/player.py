"""``loop.compile=true``: the optimizer steps of an execution in compiled graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

from torch import Tensor, nn

from fourbeat.base.errors import NonFiniteError
from fourbeat.compile.calls import compile_calls, uncompile_calls
from fourbeat.compile.messages import CompileFailure, say
from fourbeat.compile.steps import CompiledResult, CompiledSteps, whole_step_obstacle
from fourbeat.compile.update import scheduled_hyperparameters
from fourbeat.data import Batch, Data, Execution
from fourbeat.events import GradientNorms, Norms
from fourbeat.lightning.trainer import datamodule_of
from fourbeat.loop import Backend, FourBeatLoop, Loop
from fourbeat.loop.backend import MicroBatch, indexed
from fourbeat.loop.fast_path import find_hook_user
from fourbeat.tasks import Task


class Ahead(NamedTuple):
    """What an optimizer step will need, noted before it is made.

    Attributes:
        hyperparameters: Of each parameter group.
        rates: To be logged with this step's loss; None if nothing is due then.
    """

    hyperparameters: Sequence[Mapping[str, Any]]
    rates: Mapping[str, float] | None


class CompiledForward(Backend):
    """Compiles forward and loss, and leaves the rest to Lightning."""

    is_compiling = True

    def start(self, loop: Loop) -> None:
        """Compile both."""
        say("loop.compile=true: forward and loss are compiled, the rest is Lightning's")
        compile_calls(*called(loop.task))

    def end(self, loop: Loop) -> None:
        """Let network and loss be called uncompiled again."""
        uncompile_calls(*called(loop.task))


def called(task: Task) -> list[nn.Module]:
    """Return what a task calls that can be compiled: its network, and a loss that is a module."""
    loss = getattr(task, "loss", None)
    return [task.net, loss] if isinstance(loss, nn.Module) else [task.net]


class CompiledPlayer(CompiledForward):
    """Plays a training's full mini-batches in graphs of whole optimizer steps.

    What stands in the way of that is said in one line, and then forward and loss alone are
    compiled. Mini-batches of another size, or other shapes, are left to the loop: each would need a
    graph of its own.
    """

    _said = False  # that some are left

    def start(self, loop: Loop) -> None:
        """Compile whole steps if that can be done, else forward and loss."""
        assert isinstance(loop, FourBeatLoop)
        self._loop = loop
        self._batch_size, self._example = _typical(datamodule_of(loop.trainer))
        self._steps: CompiledSteps | None = None
        if reason := _obstacle(loop):
            self._compile_calls(reason)
            return
        say("loop.compile=true: whole optimizer steps are compiled, several per graph")
        self._steps = self._build_steps(loop)

    def _build_steps(self, loop: FourBeatLoop) -> CompiledSteps:
        self._clip_val = loop.gradient_clip_val
        return CompiledSteps(
            loop.task,
            loop.optim.optimizer,
            gradient_clip_val=loop.gradient_clip_val,
            gradient_clip_algorithm=loop.gradient_clip_algorithm,
            autocast=loop.autocast,
        )

    def follow(self, loop: Loop) -> None:
        """Leave the steps to the loop from now on, if something has come to stand in the way."""
        assert isinstance(loop, FourBeatLoop)
        if self._steps is not None and (reason := _obstacle(loop)):
            self._steps = None
            self._compile_calls(reason)

    def micro_batches(self, execution: Execution) -> Iterator[MicroBatch]:
        """Make an optimizer step for each full mini-batch, and return the others."""
        loop = self._loop
        if self._steps is None or loop.skips_backward or loop.group_size > 1:
            yield from indexed(execution)
            return
        if loop.gradient_clip_val != self._clip_val:
            self._steps = self._build_steps(loop)
        start = 0
        for fits, group in groupby(self._which_fit(execution)):
            end = start + len(list(group))
            if not (fits and self._play(execution, start, end)):
                yield from islice(indexed(execution, first=start), end - start)
            start = end

    def _which_fit(self, batch: Execution) -> list[bool]:
        """Find the mini-batches for which there is a graph, wherever the training began."""
        if self._example is None:
            self._example = next(batch.mini_batches())
            self._batch_size = self._batch_size or batch.sizes[0]
        alike = zip(batch.are_like(self._example), batch.sizes, strict=True)
        fit = [is_like and size == self._batch_size for is_like, size in alike]
        ends_epoch = self._loop.accumulation_group(batch.num_played - 1).ends_epoch
        if not self._said and not all(fit[:-1] if ends_epoch else fit):
            self._said = True
            say("loop.compile=true: batches of other shapes than the first are left uncompiled")
        return fit

    def _play(self, batch: Execution, start: int, end: int) -> bool:
        """Make an optimizer step for each of some mini-batches.

        Returns:
            Whether it could be done; if not, none has been made.
        """
        if self._steps is None:  # an earlier part of this execution has failed
            return False
        loop, first = self._loop, batch.batch_idx + start
        optimizer = loop.optim.optimizer
        schedulers = loop.schedules.of(optimizer)
        before = [scheduler.state_dict() for scheduler in schedulers]
        ahead = [self._look_ahead(first, i) for i in range(end - start)]
        hyperparameters = [step.hyperparameters for step in ahead]
        measure = loop.notify.wants_norms
        try:
            played = self._steps.play(batch, hyperparameters, start=start, measure=measure)
        except CompileFailure as failure:
            for scheduler, state in zip(schedulers, before, strict=True):
                scheduler.load_state_dict(state)
            for group, old in zip(optimizer.param_groups, hyperparameters[0], strict=True):
                group.update(old)
            self._steps = None
            self._compile_calls(str(failure))
            return False
        done = loop.num_steps
        try:
            self._notify(played, ahead, first)
        except NonFiniteError as error:
            position = start + error.step - done
            loop.playing = next(batch.mini_batches(position))
            raise
        return True

    def _notify(self, played: CompiledResult, ahead: Sequence[Ahead], batch_idx: int) -> None:
        """Count the steps, record their losses, and notify the observers of each."""
        loop, losses = self._loop, list(played.losses.unbind())
        raw, clipped = _each(played.norms), _each(played.clipped)
        for position, (loss, named, step) in enumerate(
            zip(losses, played.named, ahead, strict=True)
        ):
            loop.check_finite(loss, corrupted=True)
            loop.count_step()
            loop.notify.losses(named)
            loop.notify.loss(loss)
            if raw:
                own = clipped[position] if clipped else None
                num_later = len(losses) - position - 1
                norms = GradientNorms(played.parameters, raw[position], own, num_later)
                loop.notify.norms(norms)
            loop.notify.step(step.hyperparameters, batch_idx + position, True)
            loop.latest_loss = loss
            loop.record(named, self._batch_size, step.rates)

    def _look_ahead(self, batch_idx: int, position: int) -> Ahead:
        """Note what a step will need, and step the scheduler for the next one."""
        loop = self._loop
        hyperparameters = scheduled_hyperparameters(loop.optim.optimizer)
        rates = loop.rates_if_due(loop.num_steps + position + 1)
        loop.schedules.after_step(loop.optim.optimizer, batch_idx + position)
        return Ahead(hyperparameters, rates)

    def _compile_calls(self, reason: str) -> None:
        say("loop.compile=true: forward and loss alone are compiled: %s", reason)
        compile_calls(*called(self._loop.task))


def _typical(data: object) -> tuple[int, Batch]:
    """Return batch size and example; 0 and None where the first batch of a training has to do.

    It does not where it can be helped: a run may be resumed at a short last one.
    """
    if not isinstance(data, Data):
        return 0, None
    # To take a batch of a stream would move it on.
    return data.known_batch_size or 0, None if data.is_stream("train") else data.example_batch()


def _each(norms: Tensor | None) -> list[Norms]:
    """Return those of each step: numbers, if that means to wait for nothing."""
    if norms is None:
        return []
    rows: list[Norms] = norms.tolist() if norms.is_cpu else [row.unbind() for row in norms]
    return rows


def _obstacle(loop: FourBeatLoop) -> str | None:
    """Say why whole steps cannot be compiled, as the end of a sentence."""
    if who := find_hook_user(loop.trainer, loop.task):
        return f"{who} uses the hooks of each step"
    if loop.accumulate_grad_batches > 1:
        return f"loop.accumulate_grad_batches={loop.accumulate_grad_batches}"
    return whole_step_obstacle(loop.task, loop.optim.optimizer)

"""A task is tried on a batch: which losses it gives, whose turns it takes, which layer refuses."""

from __future__ import annotations

import copy
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torchmetrics import MetricCollection

from fourbeat.base.errors import Fault, first_line
from fourbeat.base.generators import generators_seeded
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.config.trial import try_leaf
from fourbeat.data import Batch, Data
from fourbeat.data.batches import name_tensors
from fourbeat.preflight.dry_run import layer_reached, traced
from fourbeat.preflight.metric_trial import MetricTrial, named_metrics
from fourbeat.preflight.turns import accumulation_faults, turn_faults
from fourbeat.tasks import LossTypeError, Supervised, Task, adapt_loss
from fourbeat.tasks.building import fitting_metrics, instantiate_task, takes_loss
from fourbeat.tasks.losses import reduction_faults
from fourbeat.tasks.mean import (
    Loss,
    Losses,
    Mean,
    by_name,
    check_names,
    in_turn,
    of_turns,
    total_of,
)
from fourbeat.tasks.metrics import FITTING
from fourbeat.tasks.stock import StockPlayer


@dataclass(frozen=True)
class TaskTrial:
    """What a task did with one batch.

    Attributes:
        losses: Names of its losses, in their order.
        turns: How often each optimizer had its turn; empty for a task without turns.
        feeds_metrics: Whether it called ``update_metrics``.
        monitor: What the task itself monitors.
        modes: Its metrics, its own ones too, and when each is best, ``min`` or ``max``.
    """

    losses: tuple[str, ...] = ("loss",)
    turns: Mapping[str, int] = field(default_factory=dict)
    feeds_metrics: bool = True
    monitor: str | None = None
    modes: Mapping[str, str] = field(default_factory=dict)


class _Probe(StockPlayer):
    """Notes whether the metrics are fed, and feeds copies of them."""

    def __init__(self, task: Task, chosen: Iterable[str] = ()) -> None:
        super().__init__(task)
        self.metrics = MetricTrial(dict(task.metrics.items()), chosen)

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        self.metrics.update(outputs, targets)


def try_task(cfg: TrainConfig, data: Data) -> tuple[TaskTrial | None, list[Fault]]:
    """Run a fresh task on a batch, with the random generators restored and nothing stepped.

    Args:
        cfg: The config, whose model, loss, metrics and task can be built.
        data: Gives an example, or its first batch.

    Returns:
        As of :func:`try_batch`.
    """
    with generators_seeded(cfg.seed):
        task, faults = build_trial(cfg, data)
        return (None, faults) if task is None else try_batch(cfg, task, data.example_batch())


def try_batch(cfg: TrainConfig, task: Task, batch: Batch) -> tuple[TaskTrial | None, list[Fault]]:
    """Run a task on a batch.

    Args:
        cfg: The config.
        task: Has another loop afterwards.
        batch: Any tree of tensors.

    Returns:
        What it did, or None and the fault, with layer, shape and reason.
    """
    probe = task.loop = _Probe(
        task, FITTING - cfg.metrics.others.keys() if cfg.metrics.auto else ()
    )
    entered: list[Any] = []
    with traced(task, entered), silenced(task):
        try:
            turns, losses = _run(task, batch)
            check_names(losses)
            _check_signs(losses)
        except Exception as error:  # the user's own code may raise anything
            return None, [_fault(cfg, batch, entered, error)]
    trial = TaskTrial(
        tuple(losses), turns, probe.metrics.was_fed, task.monitor, modes_of(task.metrics)
    )
    faults = [*turn_faults(cfg, task, turns), *accumulation_faults(cfg, losses)]
    return trial, [*faults, *probe.metrics.faults()]


def run_task(task: Task, batch: Batch) -> None:
    """Compute a task's losses of a batch, for what that does to its layers; nothing is stepped."""
    task.loop = _Probe(task)
    with silenced(task), torch.no_grad():
        if task.takes_turns:
            list(task.steps(batch))
        else:
            task.losses(batch)


def unused_parameters(task: Task, batch: Batch) -> list[str]:
    """Return the trained parameters that a batch's losses give no gradient.

    Args:
        task: A copy of it is run, and nothing of it is stepped.
        batch: One of training.
    """
    with generators_seeded(0):
        try:
            twin = copy.deepcopy(task)
            twin.loop = _Probe(twin)
            with silenced(twin):
                loss = total_of(by_name(twin.train().losses(batch)))
            loss.backward()  # type: ignore[no-untyped-call]
        except Exception:  # the user's own code, which the training will call again
            return []
    named = twin.named_parameters()
    return [n for n, parameter in named if parameter.requires_grad and parameter.grad is None]


def modes_of(metrics: MetricCollection) -> dict[str, str]:
    """Return the metrics that are better high or low, and when each is best."""
    higher = {name: metric.higher_is_better for name, metric in metrics.items()}
    # A confusion matrix is neither better high nor low: it is not one number.
    return {n: "max" if h else "min" for n, h in higher.items() if h is not None}


def build_trial(cfg: TrainConfig, data: Data) -> tuple[Task | None, list[Fault]]:
    """Build a task, or find which of its leaves cannot be built.

    Args:
        cfg: The config.
        data: Says whether a loss gets one logit for two classes.
    """
    net: Any
    loss: Any = None
    assert cfg.model is not None  # preflight.groups
    faults, kind = list[Fault](), getattr(data, "task", None)
    if takes_loss(cfg.task.leaf()):
        assert cfg.loss is not None
        loss, refused = try_leaf("loss", cfg.loss.leaf(), instantiate)
        faults = refused or reduction_faults(loss)
    metrics, unmeasured = named_metrics(cfg)
    # The network last: what it draws depends on what has drawn before.
    net, unbuilt = try_leaf("model", cfg.model.leaf(), instantiate)
    if faults := [*unbuilt, *faults, *unmeasured]:
        return None, faults
    if loss is not None:
        loss = adapt_loss(loss, kind)
    if cfg.metrics.auto and kind:
        metrics.add_metrics(dict(fitting_metrics(kind, data.num_classes, loss).items()))
    return try_leaf(
        "task", cfg.task.leaf(), lambda leaf: instantiate_task(leaf, net, loss, metrics)
    )


def _run(task: Task, batch: Batch) -> tuple[Mapping[str, int], Mapping[str, Loss]]:
    if type(task).losses is Supervised.losses and not (
        isinstance(batch, (tuple, list)) and len(batch) == 2
    ):
        raise LossTypeError("it takes pairs of inputs and targets: write a task for other batches")
    if not task.takes_turns:
        named = by_name(task.eval().losses(batch))
        if not total_of(named).requires_grad:
            raise LossTypeError("losses() returned numbers without a gradient: is one detached?")
        return {}, named
    turns = Counter[str]()
    return turns, of_turns(_turns(task.steps(batch), turns))


def _check_signs(losses: Mapping[str, Loss]) -> None:
    """Refuse negative weights: here, on the CPU, tensors cost nothing to read."""
    for name, loss in losses.items():
        if isinstance(loss, Mean) and loss.weight < 0:
            raise LossTypeError(f"the weight of the loss {name!r} is {loss.weight}: at least 0")


def _turns(steps: Any, counts: Counter[str]) -> Iterator[tuple[str, Losses]]:
    """Check and count the turns as they are taken."""
    if not isinstance(steps, Iterator):
        what = f"steps() returned a {type(steps).__name__}"
        raise LossTypeError(f"{what}: yield each name and loss, so that a step follows on each")
    each: Any
    for each in steps:
        if not (isinstance(each, tuple) and len(each) == 2):
            raise LossTypeError(f"steps() yielded {type(each).__name__}: yield a name and a loss")
        if not total_of(in_turn(*each)).requires_grad:
            raise LossTypeError(f"steps() yielded a loss of {each[0]} without a gradient")
        counts[each[0]] += 1
        yield each


def _fault(cfg: TrainConfig, batch: Batch, entered: list[Any], error: Exception) -> Fault:
    shapes = ", ".join(f"{n} {list(t.shape)}" for n, t in name_tensors(batch))
    where = layer_reached(entered)
    reason = f"fails on a batch{f', in {where}' if where else ''}: {first_line(error)}"
    if not isinstance(error, (LossTypeError, RuntimeError)):  # torch's name the shapes
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason += f" ({type(error).__name__}, {frame.filename}:{frame.lineno})"
    hint = f"The batch: {shapes or type(batch).__name__}."
    return Fault("task-fails", "task", cfg.task.target, reason, hint)


@contextmanager
def silenced(task: Task) -> Iterator[None]:
    """Let a task log nothing within this block: there is no Trainer yet to log to."""
    vars(task).update(log=_ignore, log_dict=_ignore)
    try:
        yield
    finally:
        del task.log, task.log_dict


def _ignore(*_: Any, **__: Any) -> None:
    pass

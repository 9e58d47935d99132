"""A task is tried on a batch: which losses it gives, whose turns it takes, which layer refuses."""

from __future__ import annotations

import copy
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

import torch
from torchmetrics import MetricCollection

from fourbeat.base.errors import Fault, first_line
from fourbeat.base.generators import generators_seeded
from fourbeat.callbacks.optimizer_modes import has_modes
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import key_of
from fourbeat.config.trial import try_leaf
from fourbeat.data import Batch, Data
from fourbeat.data.batches import name_tensors
from fourbeat.preflight.dry_run import layer_reached, traced
from fourbeat.preflight.metric_trial import MetricTrial, named_metrics
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
    chosen = FITTING - cfg.metrics.others.keys() if cfg.metrics.auto else ()
    probe = task.loop = _Probe(task, chosen)
    entered: list[Any] = []
    with traced(task, entered), silenced(task):
        try:
            turns, losses = _run(task, batch)
            check_names(losses, map(str, task.metrics))
            _check_signs(losses)
        except Exception as error:  # the user's own code may raise anything
            return None, [_fault(cfg, batch, entered, error)]
    trial = TaskTrial(
        tuple(losses), turns, probe.metrics.was_fed, task.monitor, modes_of(task.metrics)
    )
    faults = [*_turn_faults(cfg, task, trial), *_accumulation_faults(cfg, losses)]
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
    return [n for n, p in twin.named_parameters() if p.requires_grad and p.grad is None]


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


def turnless_faults(cfg: TrainConfig) -> list[Fault]:
    """Find what cannot be where several optimizers of a task without turns step together."""
    why = f"is of one of several optimizers, which step together: {cfg.task.target} takes no turns"
    faults = []
    if isinstance(cfg.scheduler, dict) and "" not in cfg.optimizers:
        names, hint = ", ".join(cfg.scheduler), "Choose one for all of them: scheduler=cosine."
        faults.append(Fault("wrong-turns", "scheduler", names, why, hint))
    for name, leaf in cfg.optimizers.items():
        if name and has_modes(resolve_name(leaf.target)):
            hint = "It has modes of its own, train() and eval(): use it alone."
            key = f"{key_of('optim', name)}._target_"
            faults.append(Fault("wrong-turns", key, leaf.target, why, hint))
    return faults


def _turn_faults(cfg: TrainConfig, task: Task, trial: TaskTrial) -> list[Fault]:
    """Turns of optimizers that the config does not have; several, but no turns."""
    names, target, size = [*cfg.optimizers], cfg.task.target, cfg.loop.accumulate_grad_batches
    if not trial.turns:
        if task.takes_turns:
            why = "takes no turn on the example batch"
            hint = (
                "Yield in steps() on the first batch, or let the data's example() return another."
            )
            return [Fault("wrong-turns", "task", target, why, hint)]
        return turnless_faults(cfg)
    if cfg.loop.name == "automatic":
        why = f"leaves tasks with one loss to Lightning, and {target} takes turns"
        return [Fault("impossible-together", "loop.name", "automatic", why, "Use loop=four_beat.")]
    if names == [""]:
        why = f"is one optimizer, and {target} takes turns of {', '.join(trial.turns)}"
        hint = "Give each a name, as conf/optim/gan.yaml does."
        return [Fault("wrong-turns", "optim", cfg.optimizers[""].target, why, hint)]
    if size > 1:
        key, why = "loop.accumulate_grad_batches", f"is for one loss, and {target} takes turns"
        hint = f"Use {key}=1 and a larger data.batch_size."
        return [Fault("impossible-together", key, str(size), why, hint)]
    return [fault for name, n in trial.turns.items() for fault in _of_turn(cfg, task, name, n)]


def _of_turn(cfg: TrainConfig, task: Task, name: str, num_turns: int) -> list[Fault]:
    target, names = cfg.task.target, [*cfg.optimizers]
    if name not in names:
        return [Fault("wrong-turns", "task", target, f"yields {name!r}", f"There are {names}.")]
    expected = task.turns_per_batch.get(name, 1)
    if abs(num_turns - expected) < 1 or cfg.schedulers[name].horizon is None:
        return []
    why = f"takes {num_turns} turns of {name} on a batch, and its schedule reckons with {expected}"
    hint = f"Set turns_per_batch = {{{name!r}: {num_turns}}} on the class."
    return [Fault("wrong-turns", "task", target, why, hint)]


def _accumulation_faults(cfg: TrainConfig, losses: Mapping[str, Loss]) -> list[Fault]:
    """Gradients of a sum of means, of which some have other weights, cannot be added up."""
    size, means = cfg.loop.accumulate_grad_batches, [isinstance(m, Mean) for m in losses.values()]
    if size == 1 or len(means) == 1 or not any(means):
        return []
    why = f"cannot add up several losses ({', '.join(losses)}) of which some are a Mean"
    hint = "Use loop.accumulate_grad_batches=1, or return their sum as one loss."
    return [Fault("impossible-together", "loop.accumulate_grad_batches", str(size), why, hint)]


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

"""A task is tried on a batch: which losses it gives, whose turns it takes, which layer refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torchmetrics import MetricCollection

from fourbeat.base.errors import Fault
from fourbeat.base.generators import generators_seeded
from fourbeat.config.leaves import instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.data import Batch, Data
from fourbeat.data.batches import name_tensors
from fourbeat.preflight.dry_run import first_line, layer_reached, traced
from fourbeat.tasks import Losses, Task, adapt_loss
from fourbeat.tasks.building import instantiate_task, takes_loss
from fourbeat.tasks.mean import Loss, by_name, in_turn


@dataclass(frozen=True)
class TaskTrial:
    """What a task did with one batch.

    Attributes:
        losses: Names of its losses, in their order.
        turns: How often each optimizer had its turn; empty for a task without turns.
        feeds_metrics: Whether it called ``update_metrics``.
        monitor: What the task itself monitors.
    """

    losses: tuple[str, ...] = ("loss",)
    turns: Mapping[str, int] = field(default_factory=dict)
    feeds_metrics: bool = True
    monitor: str | None = None


class _Probe:
    """Stands in for the loop."""

    fed = False

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        self.fed = True


def try_task(cfg: TrainConfig, data: Data) -> tuple[TaskTrial | None, list[Fault]]:
    """Run a fresh task on a batch, with the random generators restored and nothing stepped.

    Args:
        cfg: The config, whose model, loss and task can be built.
        data: Gives an example, or its first batch.

    Returns:
        What it did, or None and the fault, with layer, shape and reason.
    """
    with generators_seeded(cfg.seed):
        task = _build(cfg, data)
        batch = data.example_batch()
        probe = task.loop = _Probe()  # type: ignore[assignment]
        # There is no Trainer yet to log to.
        task.log = task.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
        entered: list[Any] = []
        with traced(task, entered):
            try:
                turns, losses = _run(task, batch)
            except Exception as error:  # the user's own code may raise anything
                return None, [_fault(cfg, batch, entered, error)]
    trial = TaskTrial(tuple(losses), turns, probe.fed, task.monitor)
    return trial, _turn_faults(cfg, trial)


def _build(cfg: TrainConfig, data: Data) -> Task:
    net: nn.Module = instantiate(cfg.model.leaf())
    loss, kind = None, getattr(data, "task", None)
    if takes_loss(cfg.task.leaf()):
        loss = instantiate(cfg.loss.leaf())
        loss = adapt_loss(loss, kind) if kind else loss
    return instantiate_task(cfg.task.leaf(), net, loss, MetricCollection({}))


def _run(task: Task, batch: Batch) -> tuple[Mapping[str, int], Mapping[str, Loss]]:
    if not task.takes_turns:
        return {}, by_name(task.eval().losses(batch))
    turns, losses = Counter[str](), dict[str, Loss]()
    each: tuple[str, Losses]
    for each in task.steps(batch):
        turns[each[0]] += 1
        losses |= in_turn(*each)
    return turns, losses


def _fault(cfg: TrainConfig, batch: Batch, entered: list[Any], error: Exception) -> Fault:
    shapes = ", ".join(f"{n} {list(t.shape)}" for n, t in name_tensors(batch))
    where = layer_reached(entered)
    reason = f"fails on a batch{f', in {where}' if where else ''}: {first_line(error)}"
    hint = f"The batch: {shapes or type(batch).__name__}."
    return Fault("task-fails", "task", cfg.task.target, reason, hint)


def _turn_faults(cfg: TrainConfig, trial: TaskTrial) -> list[Fault]:
    """Turns of optimizers that the config does not have; several, but no turns."""
    names = [*cfg.optimizers]
    listed = ", ".join(names)
    if trial.turns and cfg.loop.name == "automatic":
        why = "leaves tasks with one loss to Lightning, and this one takes turns"
        return [Fault("impossible-together", "loop.name", "automatic", why, "Use loop=four_beat.")]
    if trial.turns and names == [""]:
        turns = ", ".join(trial.turns)
        hint = f"Give the optimizers names, {turns}, as conf/optim/gan.yaml does."
        why = f"is one optimizer, and {cfg.task.target} takes turns of {turns}"
        return [Fault("wrong-turns", "optim", cfg.optimizers[""].target, why, hint)]
    if not trial.turns and names != [""]:
        why = f"has the optimizers {listed}, and {cfg.task.target} takes no turns"
        return [Fault("wrong-turns", "optim", listed, why, "Write steps(), or use one optimizer.")]
    absent = [turn for turn in trial.turns if turn not in names]
    return [
        Fault("wrong-turns", "task", cfg.task.target, f"yields {turn!r}", f"There are {listed}.")
        for turn in absent
        if names != [""]
    ]

"""Turns and losses of a task that its config's optimizers, or accumulation, do not go with."""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name

from fourbeat.base.errors import Fault
from fourbeat.callbacks.optimizer_modes import has_modes
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import key_of
from fourbeat.tasks import Task
from fourbeat.tasks.mean import Loss, Mean


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


def turn_faults(cfg: TrainConfig, task: Task, turns: Mapping[str, int]) -> list[Fault]:
    """Find turns of optimizers that the config does not have; several, but no turns.

    Args:
        cfg: The config.
        task: That was tried on a batch.
        turns: How often each optimizer had its turn on it.
    """
    names, target, size = [*cfg.optimizers], cfg.task.target, cfg.loop.accumulate_grad_batches
    if not turns:
        if task.takes_turns:
            why, hint = "takes no turn on the example batch", "Yield in steps() on the first batch."
            return [Fault("wrong-turns", "task", target, why, hint)]
        return turnless_faults(cfg)
    if cfg.loop.name == "automatic":
        why = f"leaves tasks with one loss to Lightning, and {target} takes turns"
        return [Fault("impossible-together", "loop.name", "automatic", why, "Use loop=four_beat.")]
    if names == [""]:
        why = f"is one optimizer, and {target} takes turns of {', '.join(turns)}"
        hint = "Give each a name, as conf/optim/gan.yaml does."
        return [Fault("wrong-turns", "optim", cfg.optimizers[""].target, why, hint)]
    if size > 1:
        key, why = "loop.accumulate_grad_batches", f"is for one loss, and {target} takes turns"
        hint = f"Use {key}=1 and a larger data.batch_size."
        return [Fault("impossible-together", key, str(size), why, hint)]
    return [fault for name, n in turns.items() for fault in _of_turn(cfg, task, name, n)]


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


def accumulation_faults(cfg: TrainConfig, losses: Mapping[str, Loss]) -> list[Fault]:
    """Refuse to add up gradients of a sum of means of which some have other weights."""
    size, means = cfg.loop.accumulate_grad_batches, [isinstance(m, Mean) for m in losses.values()]
    if size == 1 or len(means) == 1 or not any(means):
        return []
    why = f"cannot add up several losses ({', '.join(losses)}) of which some are a Mean"
    hint = "Use loop.accumulate_grad_batches=1, or return their sum as one loss."
    return [Fault("impossible-together", "loop.accumulate_grad_batches", str(size), why, hint)]

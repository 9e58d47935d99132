"""Where a batch becomes a loss: the calls of the user's beats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fourbeat.tasks.mean import Loss, Losses, by_name
from fourbeat.tasks.task import Task


def compute_losses(task: Task, batch: Any) -> Mapping[str, Loss]:
    """Return a task's losses of a batch, by name.

    Args:
        task: Its ``losses`` are called.
        batch: Any tree of tensors.

    Raises:
        RuntimeError: It raises StopIteration, which Lightning would take for the end of the data.
    """
    return _called(task.losses, batch)


def compute_evaluation(task: Task, batch: Any) -> Mapping[str, Loss]:
    """Return a task's losses of a batch of the validation or test split, by name.

    Args:
        task: Its ``evaluate`` is called.
        batch: Any tree of tensors.

    Raises:
        RuntimeError: It raises StopIteration, which Lightning would take for the end of the data.
    """
    return _called(task.evaluate, batch)


def _called(method: Callable[[Any], Losses], batch: Any) -> Mapping[str, Loss]:
    try:
        return by_name(method(batch))
    except StopIteration as error:
        where = getattr(method, "__qualname__", str(method))
        raise RuntimeError(f"{where} has raised StopIteration({error})") from error

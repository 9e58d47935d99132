"""Where a batch becomes a loss: the calls of the user's beats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fourbeat.tasks.mean import Loss, Losses, by_name


def call_losses(method: Callable[[Any], Losses], batch: Any) -> Mapping[str, Loss]:
    """Return a task's losses of a batch, by name.

    Args:
        method: The task's ``losses``, or ``evaluate``.
        batch: Any tree of tensors.

    Raises:
        RuntimeError: It raises StopIteration, which Lightning would take for the end of the data.
    """
    try:
        return by_name(method(batch))
    except StopIteration as error:
        where = getattr(method, "__qualname__", str(method))
        raise RuntimeError(f"{where} has raised StopIteration({error})") from error

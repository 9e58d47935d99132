"""What a task logs by ``self.log`` while the loop plays its beats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fourbeat.loop.backend import MicroBatch

if TYPE_CHECKING:
    from fourbeat.loop.loop import Loop


class TaskLog:
    """Says how Lightning is to log a task's values: for Lightning an execution is one batch.

    Args:
        loop: Of the task.

    Attributes:
        num_samples: Of the mini-batch that the task has just now; None: it has none.
        is_within: Whether more steps follow in the execution, of which Lightning logs the last
            one's values alone: those of the others are logged here.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.num_samples: int | None = None
        self.is_within = False

    def each(self, batches: Iterable[MicroBatch]) -> Iterator[MicroBatch]:
        """Yield mini-batches, and note of each, while it is played, how many samples it has."""
        for index, batch, num_samples in batches:
            self.num_samples = num_samples
            yield index, batch, num_samples
        self.num_samples = None

    def options(self, name: str, value: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return Lightning's options, after the value has been logged, where that is due here.

        Args:
            name: Of the value.
            value: A number, or a scalar tensor.
            options: Those that the task gives.
        """
        if self.num_samples is None:
            return options
        if options.get("batch_size") is None:
            options = {**options, "batch_size": self.num_samples}
        asked = options.get("on_step") is not False and options.get("logger") is not False
        if self.is_within and asked and self._loop.log_is_due(step := self._loop.num_steps + 1):
            tag = f"{name}_step" if options.get("on_epoch") else name
            number = value.detach() if isinstance(value, Tensor) else value
            self._loop.training_log.add(step - 1, {}, {tag: float(number)})
        return options

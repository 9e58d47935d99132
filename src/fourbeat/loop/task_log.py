"""What a task logs by ``self.log`` while the loop plays its beats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fourbeat.data import Execution
from fourbeat.lightning.results import end_evaluation_batch
from fourbeat.loop.backend import MicroBatch, indexed

if TYPE_CHECKING:
    from fourbeat.loop.loop import Loop


class TaskLog:
    """Says how Lightning is to log a task's values: for Lightning an execution is one batch.

    Args:
        loop: Of the task.

    Attributes:
        num_samples: Of the mini-batch that the task has just now; None: it has none.
        is_training: Whether it trains on it.
        logs_each: Whether it has asked for a value of each mini-batch of an evaluation.
        latest: What was logged last in this epoch for each step, by tag: Lightning logs that when
            a step is due, whoever logged it when.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.num_samples: int | None = None
        self.is_training = self.logs_each = False
        self.latest: dict[str, Any] = {}

    def each(self, execution: Execution) -> Iterator[MicroBatch]:
        """Yield mini-batches of an evaluation, and note how many samples each has meanwhile."""
        for index, batch, num_samples in indexed(execution):
            if index > execution.batch_idx:
                end_evaluation_batch(self._loop.trainer, logs=self.logs_each)
            self.num_samples = num_samples
            yield index, batch, num_samples
        self.num_samples = None

    def options(self, name: str, value: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return Lightning's options, after the value has been noted.

        Args:
            name: Of the value.
            value: A number, or a scalar tensor.
            options: Those that the task gives.
        """
        if self.num_samples is None:
            return options
        if options.get("batch_size") is None:
            options = {**options, "batch_size": self.num_samples}
        self.logs_each |= not self.is_training and bool(options.get("on_step"))
        asked = options.get("on_step") is not False and options.get("logger") is not False
        if self.is_training and asked and isinstance(value, (Tensor, int, float)):
            tag = f"{name}_step" if options.get("on_epoch") else name
            self.latest[tag] = value.detach().clone() if isinstance(value, Tensor) else value
        return options

    def end_step(self) -> None:
        """Log the latest values, if that is due, after a step within an execution.

        Of its last step Lightning logs them.
        """
        if self.latest and self._loop.log_is_due(step := self._loop.num_steps):
            values = {"epoch": self._loop.trainer.current_epoch, **self.values()}
            self._loop.training_log.add(step - 1, {}, values)

    def values(self) -> dict[str, float]:
        """Return the latest values as numbers, which waits for the device."""
        return {tag: float(value) for tag, value in self.latest.items()}

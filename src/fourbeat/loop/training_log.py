"""Training values on their way to the loggers, about once a second."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from fourbeat.lightning.event_writers import event_writer

SECONDS_BETWEEN_WRITES = 1.0


class LogEntry(NamedTuple):
    """What is to be logged of one optimizer step."""

    step: int
    losses: Mapping[str, Tensor]
    values: Mapping[str, float]


class TrainingLog:
    """Buffers what is logged at exact steps, and passes it to the loggers later.

    A logger's writing thread takes the processor from the threads that train, which then wait for
    each other: 4 ms for every value on two cores, if each is passed on at once. Nor is the loss
    read from the device before.
    """

    def __init__(self) -> None:
        self._entries: list[LogEntry] = []
        self._written = time.monotonic()

    def add(self, step: int, losses: Mapping[str, Tensor], values: Mapping[str, float]) -> None:
        """Buffer mean losses and other values.

        Args:
            step: Optimizer steps made before this one.
            losses: By name, e.g. ``train/loss``, on any device.
            values: E.g. learning rates.
        """
        self._entries.append(LogEntry(step, losses, values))

    @property
    def is_due(self) -> bool:
        """Whether the buffer was last written a second ago or more."""
        return time.monotonic() - self._written >= SECONDS_BETWEEN_WRITES

    def write(self, loggers: Sequence[Logger]) -> tuple[int, str, float] | None:
        """Write the buffer: before anything is logged of later steps, and at the end.

        Returns:
            The first step whose loss is NaN or Inf, the loss's name and its value; None if all are
            finite.
        """
        entries, self._entries = self._entries, []
        self._written = time.monotonic()
        if not entries:
            return None
        tensors = [loss for entry in entries for loss in entry.losses.values()]
        numbers = iter(torch.stack(tensors).tolist() if tensors else ())
        found = [(entry, dict(zip(entry.losses, numbers, strict=False))) for entry in entries]
        for entry, losses in found:
            for logger in loggers:
                _log(logger, {**losses, **entry.values}, entry.step)
        each = ((e.step, name, loss) for e, losses in found for name, loss in losses.items())
        return next((bad for bad in each if not math.isfinite(bad[2])), None)


def _log(logger: Logger, values: dict[str, float], step: int) -> None:
    if isinstance(logger, TensorBoardLogger):
        # One event for all values, where the logger would write one for each.
        summary = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        writer = event_writer(logger)
        if writer is not None:  # in processes other than the first
            writer.add_summary(Summary(value=summary), step)
    else:
        logger.log_metrics(values, step=step)

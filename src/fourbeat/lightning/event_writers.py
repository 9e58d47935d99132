"""What the loggers write with: TensorBoard's event file, the CSV table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import TensorBoardLogger, csv_logs

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import FileWriter


def event_writer(logger: TensorBoardLogger) -> FileWriter | None:
    """Return what a logger's event file is written with; None in all processes but the first."""
    writer: FileWriter | None = logger.experiment._get_file_writer()
    return writer


def table_writer(logger: csv_logs.CSVLogger) -> csv_logs.ExperimentWriter | None:
    """Return the writer that a CSV logger has; None before it has logged anything."""
    writer = logger._experiment
    assert writer is None or isinstance(writer, csv_logs.ExperimentWriter)
    return writer


def set_table_writer(
    logger: csv_logs.CSVLogger, writer: csv_logs.ExperimentWriter, columns: Sequence[str]
) -> None:
    """Let a CSV logger write with a writer that knows the columns of an existing table."""
    writer.metrics_keys = list(columns)
    logger._experiment = writer

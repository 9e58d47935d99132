"""Lightning's loggers: what they hold back."""

from __future__ import annotations

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger

from fourbeat.lightning.event_writers import table_writer


def flush_logger(logger: Logger) -> None:
    """Write what a logger holds back, without making files where nothing was logged.

    Asking for ``logger.experiment`` would make them: a logger has none in processes other than the
    first, and before anything was logged.
    """
    if isinstance(logger, TensorBoardLogger):
        if logger._experiment is not None:
            logger._experiment.flush()
    elif isinstance(logger, CSVLogger):
        if (writer := table_writer(logger)) is not None:
            writer.save()
    else:
        logger.save()

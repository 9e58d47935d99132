"""Lightning's loggers: what they hold back, and one that writes nothing."""

from __future__ import annotations

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger, Logger

from fourbeat.lightning.event_writers import table_writer


class SilentLogger(DummyLogger):
    """Takes whatever is logged, by any method and with any ``experiment``, and writes nothing.

    Args:
        save_dir: The folder of whoever asks the Trainer for its ``log_dir``.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self._save_dir = save_dir

    @property
    def save_dir(self) -> str:
        """The folder."""
        return self._save_dir


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

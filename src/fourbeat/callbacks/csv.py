"""One table of everything that was logged, to which a resumed run appends."""

from __future__ import annotations

import csv
import os
import warnings
from pathlib import Path

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import csv_logs

from fourbeat.lightning.event_writers import set_table_writer, table_writer


class CSVLogger(csv_logs.CSVLogger):
    """Lightning's logger deletes the table that it finds; this one appends to it."""

    @property
    @rank_zero_experiment
    def experiment(self) -> csv_logs.ExperimentWriter:
        """The writer, which knows the columns of the existing table."""
        return table_writer(self) or self._resumed_writer(Path(self.log_dir))

    def _resumed_writer(self, folder: Path) -> csv_logs.ExperimentWriter:
        table, kept = folder / "metrics.csv", folder / "metrics.csv.kept"
        if table.is_file():
            os.replace(table, kept)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory .* is not empty")
            writer = csv_logs.ExperimentWriter(log_dir=str(folder))
        columns: list[str] = []
        if kept.is_file():  # also that of a run that was killed between these two moves
            os.replace(kept, table)
            with table.open(newline="") as file:
                columns = next(csv.reader(file), [])
        set_table_writer(self, writer, columns)
        return writer

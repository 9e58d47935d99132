"""L1: the jobs of a sweep: checked before the first, read back and compared after the last."""

from __future__ import annotations

from fourbeat.sweeps.trials import ERROR_FILE, Mode, Trial, format_table, read_trials, write_csv

__all__ = ["ERROR_FILE", "Mode", "Trial", "format_table", "read_trials", "write_csv"]

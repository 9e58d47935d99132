"""Sweeps: checked before the first job, and compared in one table after the last."""

from __future__ import annotations

from fourbeat.sweeps.trials import ERROR_FILE, Trial, format_table, read_trials, write_csv

__all__ = ["ERROR_FILE", "Trial", "format_table", "read_trials", "write_csv"]

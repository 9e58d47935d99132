"""Callbacks and loggers: progress, stopping, the confusion matrix, a resumable CSV table."""

from __future__ import annotations

from fourbeat.callbacks.csv import CSVLogger

__all__ = ["CSVLogger"]

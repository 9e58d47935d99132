"""L2: loggers that Lightning has not, or not as a resumed run needs them."""

from __future__ import annotations

from fourbeat.loggers.csv import CSVLogger

__all__ = ["CSVLogger"]

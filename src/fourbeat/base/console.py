"""L1: what fourbeat prints: plain lines on standard output, and the same lines in the run's log."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG_FILE = "train.log"

log = logging.getLogger("fourbeat")


class _Stdout(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever ``sys.stdout`` is at the time: notebooks and tests replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        return sys.stdout

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Go on training without a word when nobody reads any more, as after ``| head``."""
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)
            return
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _LogFile(logging.FileHandler):
    """Leaves it to the training to say that the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close, whatever could not be written."""
        with contextlib.suppress(OSError):
            super().close()


def show_lines() -> None:
    """Let fourbeat's lines reach standard output, and keep Lightning's remarks about itself away.

    Only the first process prints. Harmless when repeated.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    if not any(isinstance(handler, _Stdout) for handler in log.handlers):
        log.addHandler(_Stdout())
        log.setLevel(logging.INFO)
        log.propagate = False
    # Hydra sets logging up for each job of a sweep, and disables every logger that exists by then.
    log.disabled = False


def short_path(path: Path) -> str:
    """Return a path as a user would type it from where they are."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def format_metric(value: float) -> str:
    """Return a metric as it is printed: four decimals, or a power of ten where they say nothing."""
    plain = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6
    return f"{value:.4f}" if plain else f"{value:.3e}"


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Copy the lines printed in this block, with the time, to the run folder's log."""
    handler = _LogFile(folder / LOG_FILE, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()

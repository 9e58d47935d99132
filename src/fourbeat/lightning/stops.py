"""Who ends a training: Lightning's flag is a plain attribute, which anybody may set."""

from __future__ import annotations

import sys
from types import FrameType, TracebackType
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

SETTERS = (Callback, LightningModule, LightningDataModule)
FETCHERS = "fetchers.py"


class StopNotingTrainer(Trainer):
    """A Trainer that knows who has set its ``should_stop``."""

    @property
    def should_stop(self) -> bool:
        """Whether the training is to end."""
        return bool(vars(self).get("should_stop", False))

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        own = vars(self)
        if not value:
            own["stopped_by"] = ""
        elif not own.get("should_stop"):
            own["stopped_by"] = _caller(sys._getframe(1))
        own["should_stop"] = bool(value)


def note_stops(trainer: Trainer) -> None:
    """Have a Trainer note from now on who sets its ``should_stop``."""
    trainer.__class__ = StopNotingTrainer


def stopped_by(trainer: Trainer) -> str:
    """Return the class of whoever has set ``should_stop``, or the function; empty: unknown."""
    return str(vars(trainer).get("stopped_by", ""))


def is_end_of_data(error: StopIteration) -> bool:
    """Return whether a batch has ended an epoch as it may: there is none, or a hook returned -1.

    Args:
        error: Raised by the ``advance`` of Lightning's loop of an epoch, which was called by the
            function that has caught it.
    """
    traceback: TracebackType | None = error.__traceback__
    caught = traceback.tb_next if traceback else None
    inner = caught.tb_next if caught else None
    return inner is None or inner.tb_frame.f_code.co_filename.endswith(FETCHERS)


def _caller(frame: FrameType | None) -> str:
    first = frame
    while frame is not None:
        owner: Any = frame.f_locals.get("self")
        if isinstance(owner, SETTERS):
            return type(owner).__name__
        frame = frame.f_back
    return first.f_code.co_name if first else ""

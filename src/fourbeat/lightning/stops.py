"""Who ends a training: Lightning's flag is a plain attribute, which anybody may set."""

from __future__ import annotations

import sys
from types import FrameType, TracebackType

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

SETTERS = (Callback, LightningModule, LightningDataModule)
FETCHERS = "fetchers.py"
DISPATCH = "lightning.pytorch.trainer.call"


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
    """Return the class of whoever has set ``should_stop``, or the function; empty: unknown.

    A function that a callback was given: both, ``stop (LambdaCallback)``.
    """
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


def _caller(first: FrameType) -> str:
    """Name who has called a function: not beyond torch, or what of Lightning calls hooks.

    There the module is always below, though it has not set anything.
    """
    name, caller = first.f_code.co_name, first.f_locals.get("self")
    frame: FrameType | None = first
    while frame is not None:
        owner, where = frame.f_locals.get("self"), frame.f_globals.get("__name__", "")
        if isinstance(owner, SETTERS):
            return type(owner).__name__
        if where == DISPATCH:
            owner = frame.f_locals.get("callback", frame.f_locals.get("pl_module"))
            return f"{name} ({type(owner).__name__})"
        if where.startswith("torch."):
            break
        frame = frame.f_back
    return name if caller is None else f"{type(caller).__name__}.{name}"

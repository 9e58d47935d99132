"""What the end of a training means, for the manifest and for whoever reads it."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping

from fourbeat.base.errors import ConfigError, NonFiniteError, RunError, Stopped
from fourbeat.callbacks import TimeLimit
from fourbeat.config.typed import format_value
from fourbeat.lightning.stops import stopped_by
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.run import Outcome

MAX_TIME = "trainer.max_time"
STOPPED = "has set trainer.should_stop"

FULL = (errno.ENOSPC, errno.EDQUOT)
# What gloo and NCCL say when a process at the other end is gone.
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process")


def outcome_of_fit(trainer: Trainer, max_time: object = None) -> Outcome:
    """Return how a run has ended whose fit has returned.

    Args:
        trainer: That has fitted.
        max_time: The limit of its clock, as the config has it.
    """
    early = (c for c in callbacks_of(trainer) if isinstance(c, EarlyStopping))
    for reason in (stopping.stopping_reason_message for stopping in early):
        if trainer.should_stop and reason:
            return Outcome("stopped_early", " ".join(reason.split()))
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return Outcome("finished", f"trainer.max_steps={trainer.max_steps} reached")
    max_epochs = trainer.max_epochs or -1
    if -1 < max_epochs <= trainer.current_epoch:
        return Outcome("finished", f"trainer.max_epochs={max_epochs} reached")
    if any(isinstance(c, TimeLimit) and c.has_stopped for c in callbacks_of(trainer)):
        return Outcome("finished", f"{MAX_TIME}={format_value(max_time)} reached")
    if trainer.should_stop:
        who = stopped_by(trainer) or "a callback"
        return Outcome("stopped_early", f"{who} {STOPPED}")
    return Outcome("stopped_early", "the training batches have ended before the horizon")


def outcome_of_error(error: BaseException) -> Outcome:
    """Return how a run has ended that an exception has ended."""
    if isinstance(error, Stopped):
        return Outcome("interrupted", signal.Signals(error.signum).name)
    # Not in the main thread, or by other means. Lightning turns it into SystemExit.
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return Outcome("interrupted", signal.Signals.SIGINT.name)
    first_line = (str(error) or type(error).__name__).splitlines()[0]
    return Outcome("failed", f"{type(error).__name__}: {first_line}")


@contextmanager
def quiet_on_a_full_disk() -> Iterator[None]:
    """Let TensorBoard's writing thread end without a traceback: the main thread says it better."""
    former = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if getattr(arguments.exc_value, "errno", None) not in FULL:
            former(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = former


RESUME_FROM_BEST = (
    "Resume from the best checkpoint with e.g. resume=best optim.lr=1e-4 resume.force=true; to "
    "train on regardless: loop.terminate_on_nan=false."
)


def user_error_for(
    error: BaseException, stop: int | None, num_processes: int, *, can_resume: bool = True
) -> BaseException:
    """Return what to raise in place of an exception that only says where something broke.

    Args:
        error: Raised by Lightning.
        stop: The signal that was received, if any: Lightning, interrupted in the middle of
            something, can break while it cleans up.
        num_processes: Of the training.
        can_resume: Whether the run can be resumed: not one of ``fit()``.
    """
    if isinstance(error, ConfigError):
        error.has_begun = True
    if stop == signal.SIGINT:
        return KeyboardInterrupt()  # what whoever called from Python expects of Ctrl-C
    if stop is not None:
        return error if isinstance(error, Stopped) else Stopped(stop)
    if isinstance(error, NonFiniteError) and can_resume:
        error.hint = RESUME_FROM_BEST
    if isinstance(error, OSError) and error.errno in FULL:
        return RunError(
            f"{error.filename or 'The run folder'}: the disk is full. Existing checkpoints are "
            "intact: free disk space, and resume with resume=last."
        )
    if num_processes > 1 and any(text in str(error) for text in LOST):
        return RunError(
            f"trainer.devices: one of the {num_processes} processes has ended, so the others "
            "cannot continue. Existing checkpoints are intact: resume with resume=last."
        )
    return error

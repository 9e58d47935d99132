"""Signals that ask a run to stop: noted at once, obeyed when nothing is lost by it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lightning.pytorch import Trainer

from fourbeat.base.errors import Stopped
from fourbeat.lightning.loops import forget_sigterm


def stop_signals() -> tuple[int, ...]:
    """Return the signals that ask a run to stop on this machine."""
    names = ["SIGINT", "SIGTERM"]
    if "SLURM_JOB_ID" in os.environ:
        names.append("SIGUSR1")  # what `sbatch --signal=B:USR1@120` sends ahead of the end
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


class StopRequest:
    """Handles the signals that ask a run to stop.

    The first one is only noted: an exception out of a handler can get lost in code that is not
    Python's, and would interrupt a step half way. The second one stops at once.

    Attributes:
        signum: The latest signal; None: there was none yet.
    """

    def __init__(self) -> None:
        self._signals = stop_signals()
        self.signum: int | None = None

    def __bool__(self) -> bool:
        return self.signum is not None

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle signals within this block, in the main thread: others get none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {signum: signal.getsignal(signum) for signum in self._signals}
        # A shell lets what it starts in the background ignore Ctrl-C, which is not meant for it.
        self._signals = tuple(s for s in former if former[s] is not signal.SIG_IGN)
        self.install()
        try:
            yield
        finally:
            for signum, handler in former.items():
                signal.signal(signum, handler)

    def install(self) -> None:
        """Replace Lightning's handlers, which would stop the run after any batch."""
        if threading.current_thread() is threading.main_thread():
            for signum in self._signals:
                signal.signal(signum, self._note)

    def replace_handlers(self, trainer: Trainer) -> None:
        """Replace those that Lightning has installed, and forget what they have noted."""
        self.install()
        forget_sigterm(trainer)

    def obey(self) -> None:
        """Stop the run, if a signal asked for it.

        Raises:
            Stopped: There was one.
        """
        if self.signum is not None:
            raise Stopped(self.signum)

    def _note(self, signum: int, frame: FrameType | None) -> Any:
        is_first, self.signum = self.signum is None, signum
        if not is_first:
            raise Stopped(signum)
        if os.environ.get("LOCAL_RANK", "0") == "0":
            name = signal.Signals(signum).name
            text = f"fourbeat: {name}: stops as soon as the state can be saved; again: at once\n"
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())

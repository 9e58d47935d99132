"""Two trainings of one process that take turns, epoch by epoch.

Whatever disturbs the machine disturbs both alike, and neighbouring epochs can be divided by each
other. Each training has a thread of its own, and only one of the two threads runs at any time: the
turn passes to the other where an epoch begins, so what a training does between two epochs (logging,
saving) never runs beside an epoch of the other.
"""

from __future__ import annotations

import contextvars
import ctypes
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.clock import BEFORE_EPOCH

T = TypeVar("T")
S = TypeVar("S")

SETTLE_S = 0.1
"""How long who gets the turn waits for the other's worker threads, which spin before they sleep."""

MAPS = Path("/proc/self/maps")


class OtherFailedError(Exception):
    """The other training of this process failed, so this one ends, too."""


class Turns:
    """Lets one of two threads run; the first one begins.

    A thread says :meth:`begin` before anything else, :meth:`pass_on` where the other may run, and
    :meth:`leave` at its end.
    """

    def __init__(self) -> None:
        self._turn = (threading.Semaphore(1), threading.Semaphore(0))
        self._running = {0, 1}
        self._failed = False

    def begin(self, place: int) -> None:
        """Wait for the turn.

        Args:
            place: Which of the two threads this is, 0 or 1.

        Raises:
            OtherFailedError: The other thread left with an error.
        """
        self._turn[place].acquire()
        if self._failed:
            raise OtherFailedError("the training that took turns with this one failed")

    def pass_on(self, place: int) -> None:
        """Let the other thread run, and wait until it passes the turn back or leaves.

        Raises:
            OtherFailedError: The other thread left with an error.
        """
        if 1 - place in self._running:
            end_openmp_threads()
            self._turn[1 - place].release()
            self.begin(place)
            time.sleep(SETTLE_S)

    def leave(self, place: int, *, failed: bool) -> None:
        """Let the other thread run to its end, or fail at once if this one did."""
        self._running.discard(place)
        self._failed = self._failed or failed
        self._turn[1 - place].release()


def train_in_turns(first: Callable[[], T], second: Callable[[], S]) -> tuple[T, S]:
    """Run both trainings, an epoch of the first, one of the second, and so on.

    The second runs in the calling thread. The first one's thread starts before either training has
    changed the settings of its own, which a new thread would inherit: flushing denormals is one.
    With the same training on both sides the second took 0.97 to 1.00 of the first one's processor
    time; with the first in the calling thread, 0.96 to 0.98.

    Raises:
        Exception: What the training raised that failed first; the other one has ended, too.
    """
    turns = Turns()
    results: list[T] = []
    errors: list[Exception] = []

    def run_first() -> None:
        try:
            results.append(_train(first, turns, 0))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run_first, name="first training", daemon=True)
    thread.start()
    try:
        result = contextvars.copy_context().run(_train, second, turns, 1)
    except OtherFailedError as error:
        thread.join()
        raise errors[0] from error
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return results[0], result


def _train(training: Callable[[], T], turns: Turns, place: int) -> T:
    failed = True
    try:
        turns.begin(place)
        BEFORE_EPOCH.set(lambda: turns.pass_on(place))
        trained = training()
        failed = False
        return trained
    finally:
        end_openmp_threads()
        turns.leave(place, failed=failed)


def end_openmp_threads() -> None:
    """End the worker threads of this thread's parallel regions; the next region starts new ones.

    Each thread of Python has workers of its own. With two such teams alive GNU's OpenMP counts more
    threads than cores, and no worker waits for the next region awake any more: every region of both
    trainings would wake it through the kernel. A new team costs a fraction of a millisecond.
    """
    for path in _openmp_libraries():
        # 1 is omp_pause_soft. A library older than OpenMP 5 has no such function.
        if pause := getattr(ctypes.CDLL(path), "omp_pause_resource_all", None):
            pause(1)


def _openmp_libraries() -> set[str]:
    """Each package brings its own; those that are loaded are named in the process's memory map."""
    if not MAPS.exists():
        return set()
    return set(re.findall(r"(/\S*lib[gi]?omp\S*\.so\S*)", MAPS.read_text()))

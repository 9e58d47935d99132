"""The process that is killed: the command line of a training, and an end that is waiting for it."""

from __future__ import annotations

import multiprocessing
import os
import random
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

TRAIN = Path(__file__).parents[2] / "scripts" / "train.py"

# What a save does to files, as Python's audit hooks name it.
FILE_EVENTS = ("open", "os.rename", "os.link", "os.remove", "os.truncate")
LONGEST_DELAY_S = 0.01


def train(words: list[str], folder: str, log: str, aim_seed: int | None = None) -> None:
    """Run ``scripts/train.py``.

    Args:
        words: Its arguments.
        folder: Where it is run.
        log: The file that gets what it prints.
        aim_seed: Kill this process in the middle of a checkpoint's writing, at an instant drawn
            with this seed; None: leave it to others.
    """
    os.chdir(folder)
    # As in a process that was started by hand: workers need not import everything again.
    multiprocessing.set_start_method("fork", force=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = [str(TRAIN), *words]
    if aim_seed is not None:
        sys.addaudithook(_Assassin(aim_seed))
    runpy.run_path(str(TRAIN), run_name="__main__")


class _Assassin:
    """Waits for the n-th thing that is done to a file among the checkpoints, and a moment more."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self._left = draw.randint(1, 40)
        self._delay_s = draw.choice([0.0, draw.uniform(0, LONGEST_DELAY_S)])

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in FILE_EVENTS or "checkpoints" not in str(arguments[0]):
            return
        self._left -= 1
        if self._left == 0 and self._delay_s:
            threading.Timer(self._delay_s, _die).start()
        elif self._left == 0:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

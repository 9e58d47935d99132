"""The process of a program's training that is killed."""

from __future__ import annotations

import os
import signal

from benchmarks.torture.victim import train

from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.training_state import Moment


def train_until(words: list[str], log: str, moment: int | None) -> None:
    """Run ``scripts/train.py``, and kill this process at the n-th moment, counted from 1.

    Args:
        words: Its arguments.
        log: The file that gets what it prints.
        moment: The moment; None: the training runs to its end.
    """
    if moment is not None:
        original, left = StateCheckpoint.on_moment, [moment]

        def on_moment(self: StateCheckpoint, now: Moment) -> None:
            original(self, now)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        StateCheckpoint.on_moment = on_moment  # type: ignore[method-assign]
    train(words, os.getcwd(), log)

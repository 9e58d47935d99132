"""How far a replay has come."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from fourbeat.events import Observer
from fourbeat.lightning.trainer import Tqdm


class Progress(Observer):
    """A bar on the terminal that counts steps, and is cleared when they are done.

    Args:
        bar: With as many as there are steps.
    """

    def __init__(self, bar: Tqdm) -> None:
        self._bar = bar

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """Move the bar on by one step."""
        self._bar.update()


@contextlib.contextmanager
def show_progress(
    num_steps: int, *, file: TextIO | None = None, delay: float = 2.0
) -> Iterator[Progress]:
    """Show how far a replay has come, if it takes long and there is a terminal.

    Args:
        num_steps: Optimizer steps that are replayed.
        file: Where it is shown; None: on stderr, so that a pipe gets the answer alone.
        delay: Seconds until it is shown.
    """
    about: Any = {"desc": "replaying", "total": num_steps, "unit": "step", "leave": False}
    with Tqdm(**about, file=file, delay=delay, disable=None) as bar:  # None: without a terminal
        yield Progress(bar)

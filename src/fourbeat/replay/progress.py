"""How far a replay has come, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from fourbeat.events import Observer
from fourbeat.lightning.trainer import Tqdm

SECONDS_UNTIL_SHOWN = 2.0


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


@contextmanager
def show_progress(
    num_steps: int, *, file: TextIO | None = None, delay: float = SECONDS_UNTIL_SHOWN
) -> Iterator[Progress]:
    """Show how far a replay has come, if it takes long and there is a terminal.

    Args:
        num_steps: Optimizer steps that are replayed.
        file: Where it is shown; None: on stderr, so that a pipe gets the answer alone.
        delay: Seconds until it is shown.
    """
    bar = Tqdm(
        desc="replaying",
        total=num_steps,
        unit="step",
        file=file,
        delay=delay,
        leave=False,
        disable=None,  # where there is no terminal
    )
    with bar:
        yield Progress(bar)

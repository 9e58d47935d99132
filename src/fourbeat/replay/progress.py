"""L5: how far a replay has come, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

from fourbeat.events import Observer

SECONDS_UNTIL_SHOWN = 2.0


class Progress(Observer):
    """A bar on the terminal that counts steps, and is gone when they are made.

    Args:
        bar: Of as many.
    """

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, taken: bool) -> None:
        """Count."""
        self._bar.update()


@contextmanager
def progress(
    num_steps: int, *, file: TextIO | None = None, delay: float = SECONDS_UNTIL_SHOWN
) -> Iterator[Progress]:
    """Show how far a replay has come, if it takes long and somebody may see it.

    Args:
        num_steps: Optimizer steps that it plays.
        file: Where to; None: stderr, so that a pipe gets the answer alone.
        delay: Seconds until it is shown.
    """
    bar: tqdm[Any] = tqdm(
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

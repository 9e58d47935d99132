"""Trainings that are stopped at chosen moments, and resumed until they are over."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from fourbeat.base.errors import Stopped
from fourbeat.run import Run
from fourbeat.state import Moment, StateCheckpoint
from support.project import compose, resume, train
from support.settings import SMALL

Train = Callable[..., Run]
StopAt = Callable[[int | None], None]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> StopAt:
    """Send SIGTERM to the training at its n-th moment, counted from 1; None: at none."""
    wanted: list[int | None] = [None]

    def on_moment(self: StateCheckpoint, moment: Moment) -> None:
        if wanted[0] is not None:
            wanted[0] -= 1
            if wanted[0] == 0:
                signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(StateCheckpoint, "on_moment", on_moment)

    def set_it(moment: int | None) -> None:
        wanted[0] = moment

    return set_it


@pytest.fixture
def interrupted(tmp_path: Path, stop_at: StopAt) -> Train:
    """Train, stop at each of the moments in turn, resume each time, and return the finished run."""

    def train_interrupted(
        overrides: Sequence[str],
        moments: Sequence[int],
        changes: Iterable[Sequence[str]] = (),
    ) -> Run:
        later = iter(changes)
        stop_at(moments[0])
        with pytest.raises(Stopped):
            train(compose(*SMALL, *overrides), tmp_path / "killed")
        for moment in moments[1:]:
            stop_at(moment)
            with pytest.raises(Stopped):
                resume(tmp_path / "killed", next(later, ()))
        stop_at(None)
        return resume(tmp_path / "killed", next(later, ()))

    return train_interrupted

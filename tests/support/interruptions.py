"""Trainings that are stopped at chosen moments, and resumed until they are over."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from fourbeat.base.errors import Stopped
from fourbeat.run import Run
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.file import read_state
from fourbeat.state.training_state import Moment, Position
from fourbeat.state.validation_stops import ValidationStops
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


def train_interrupted(
    overrides: Sequence[str],
    moments: Sequence[int],
    stop_at: StopAt,
    folder: Path,
    changes: Iterable[Sequence[str]] = (),
) -> Run:
    """Train, stop at each of the moments in turn, resume each time, and return the finished run.

    Args:
        overrides: Of the training.
        moments: Numbers of moments, each counted from the one before.
        stop_at: The fixture.
        folder: The run's.
        changes: Overrides of each resume in turn; none after the last of them.
    """
    later = iter(changes)
    stop_at(moments[0])
    with pytest.raises(Stopped):
        train(compose(*overrides), folder)
    for moment in moments[1:]:
        stop_at(moment)
        with pytest.raises(Stopped):
            resume(folder, next(later, ()))
    stop_at(None)
    return resume(folder, next(later, ()))


@pytest.fixture
def stop_at_validation_batch(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Send SIGTERM at the n-th batch that is validated from now on, counted from 1; 0: at none."""
    left, after_batch = [0], ValidationStops.after_batch

    def after(self: ValidationStops, trainer: Trainer) -> None:
        if not trainer.sanity_checking:
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGTERM)
        after_batch(self, trainer)

    monkeypatch.setattr(ValidationStops, "after_batch", after)
    monkeypatch.setattr("fourbeat.state.validation_stops.WORTH_STOPPING_S", 0.0)
    return lambda batch: left.__setitem__(0, batch)


def stop_in_validations(
    overrides: Sequence[str], batches: Sequence[int], stop_at: Callable[[int], None], folder: Path
) -> list[Position]:
    """Train, stop at each of the validation batches in turn, and resume until the run is over."""
    positions = []
    for number in batches:
        stop_at(number)
        with pytest.raises(Stopped):
            resume(folder) if positions else train(compose(*overrides), folder)
        positions.append(Position.of(read_state(folder / "checkpoints" / "last.ckpt")))
    stop_at(0)
    resume(folder)
    return positions


@pytest.fixture
def interrupted(tmp_path: Path, stop_at: StopAt) -> Train:
    """``train_interrupted`` of a small run."""

    def train_small(
        overrides: Sequence[str], moments: Sequence[int], changes: Iterable[Sequence[str]] = ()
    ) -> Run:
        folder = tmp_path / "killed"
        return train_interrupted([*SMALL, *overrides], moments, stop_at, folder, changes)

    return train_small

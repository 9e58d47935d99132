"""All that a saved training state holds, in one place, and its layout in a file."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fourbeat.base.errors import RunError
from fourbeat.lightning.loops import count_epochs_done, place_between_epochs, place_within_epoch
from fourbeat.run.encoding import build_record

STATE_FORMAT = 1
"""Bump when an old reader would misread a new file."""

KEY = "fourbeat"

Moment = Literal["within an epoch", "before a validation", "between epochs"]
"""Where Lightning's loops can be restored exactly: there nothing is half done.

``before a validation`` is within an epoch, or after its last batch: the validation comes next."""

Checkpoint: TypeAlias = dict[str, Any]
"""A state as it lies in a file: Lightning's checkpoint, and ours under :data:`KEY`."""

ProcessState: TypeAlias = dict[str, Any]
"""What is registered with a StateRegistry in one process, by name: what Lightning's checkpoint
lacks, e.g. ``generators``, ``measured`` and ``module``."""

# The fields of a TrainingState by their names in Lightning's checkpoint.
LIGHTNING = {
    "state_dict": "weights",
    "optimizer_states": "optimizers",
    "lr_schedulers": "schedulers",
    "loops": "loops",
    "callbacks": "callbacks",
}


class DamagedCheckpointError(RunError):
    """A checkpoint that is not what was written; the one before it may be intact."""


@dataclass(frozen=True)
class Position:
    """How far a training is.

    Attributes:
        moment: Whether an epoch is under way, and what comes next.
        epoch: Index of the epoch that is under way, or comes next; from 0.
        batch: Mini-batches of it that are done.
        step: Optimizer steps done.
        is_over: Whether the training has ended.
        stop_reason: Why it ended before its horizon; empty if it did not.
    """

    moment: Moment
    epoch: int
    batch: int
    step: int
    is_over: bool = False
    stop_reason: str = ""

    def __post_init__(self) -> None:
        if min(self.epoch, self.batch, self.step) < 0:
            raise ValueError(f"has a negative number in {self}")

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Position:
        """Return the position of a state; Lightning's own checkpoints are from an epoch's end."""
        return _read_own(checkpoint, "the state")[1]


@dataclass(frozen=True)
class LogPosition:
    """How far the logs of a run are written, by paths relative to the run folder.

    Attributes:
        event_bytes: Bytes of each event file.
        table_rows: Rows of each table.
    """

    event_bytes: dict[str, int] = field(default_factory=dict)
    table_rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnState:
    """What a state holds besides Lightning's checkpoint, as it lies in the file.

    Attributes:
        format_version: Of the layout.
        position: How far the training was.
        processes: Of each process.
        log_position: How far the logs were written.
    """

    format_version: int
    position: Position
    processes: list[dict[str, Any]]
    log_position: LogPosition

    def __post_init__(self) -> None:
        if not self.processes:
            raise ValueError("has no processes")


@dataclass(frozen=True)
class TrainingState:
    """A training at one of its moments: all that is needed to continue it bitwise identically.

    Attributes:
        position: How far it is.
        weights: Parameters and buffers.
        optimizers: Of each optimizer.
        schedulers: Of each scheduler.
        loops: The counters of Lightning's loops.
        callbacks: Of each callback that has a state, by Lightning's key.
        others: What else Lightning's checkpoint holds: the loss scaler and the data module by the
            names of their classes, versions, what ``on_save_checkpoint`` hooks added.
        processes: Generators, metrics and running means, and whatever is registered, in each
            process; empty for a checkpoint that Lightning wrote.
        log_position: How far the logs were written; None for a checkpoint that Lightning wrote.
    """

    position: Position
    weights: dict[str, Any]
    optimizers: list[Any]
    schedulers: list[Any]
    loops: dict[str, Any]
    callbacks: dict[str, Any]
    others: dict[str, Any]
    processes: list[ProcessState] = field(default_factory=list)
    log_position: LogPosition | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint, path: Path | str = "the state") -> TrainingState:
        """Return what a checkpoint holds; its tensors, lists and dicts are not copied.

        Args:
            checkpoint: Of fourbeat, or one that Lightning wrote at an epoch's end.
            path: Where it was read from, for errors.

        Raises:
            RunError: It holds no training, e.g. weights only, or is of a newer version.
            DamagedCheckpointError: It is malformed.
        """
        if missing := LIGHTNING.keys() - checkpoint.keys():
            found, lacks = ", ".join(map(str, checkpoint)) or "-", ", ".join(sorted(missing))
            raise RunError(
                f"{path}: holds no training state to resume from, only {found}; it lacks {lacks}."
            )
        own, position = _read_own(checkpoint, path)
        if own is None:
            return cls.of_lightning(checkpoint, position)
        return cls.of_lightning(checkpoint, position, own.processes, own.log_position)

    @classmethod
    def of_lightning(
        cls,
        checkpoint: Checkpoint,
        position: Position,
        processes: Sequence[ProcessState] = (),
        log_position: LogPosition | None = None,
    ) -> TrainingState:
        """Return the state that consists of a checkpoint of Lightning's and of these."""
        return cls(
            position,
            **{name: checkpoint[key] for key, name in LIGHTNING.items()},
            others={k: v for k, v in checkpoint.items() if k not in LIGHTNING and k != KEY},
            processes=list(processes),
            log_position=log_position,
        )

    def checkpoint(self) -> Checkpoint:
        """Return the state as it lies in a file, for any Lightning program to read."""
        lightning = self.others | {key: getattr(self, name) for key, name in LIGHTNING.items()}
        if not self.processes:
            return lightning  # as it was read: nobody knows more of it
        own = {
            "format_version": STATE_FORMAT,
            "position": asdict(self.position),
            "processes": self.processes,
            "log_position": asdict(self.log_position or LogPosition()),
        }
        return lightning | {KEY: own}

    def without_weights(self) -> TrainingState:
        """Return it without the large tensors, which are somebody else's to hold."""
        return replace(self, weights={}, optimizers=[])

    def process(self, rank: int) -> ProcessState | None:
        """Return what it holds of a process; None for a checkpoint that Lightning wrote."""
        return self.processes[rank % len(self.processes)] if self.processes else None


def check_version(checkpoint: Checkpoint, path: Path | str) -> None:
    """Refuse a state that a newer version of fourbeat wrote.

    Raises:
        RunError: With both versions.
        DamagedCheckpointError: It has no readable version.
    """
    if KEY not in checkpoint:
        return  # Lightning's, or weights alone
    own = checkpoint[KEY]
    version = own.get("format_version") if isinstance(own, dict) else None
    if not isinstance(version, int) or version < 1:
        raise DamagedCheckpointError(f"{path}: is damaged: its state has no format_version.")
    if version > STATE_FORMAT:
        raise RunError(
            f"{path}: has format_version {version}; this fourbeat reads up to {STATE_FORMAT}. "
            "Use the version of fourbeat that wrote it, or a newer one."
        )


def _read_own(checkpoint: Checkpoint, path: Path | str) -> tuple[OwnState | None, Position]:
    """What is ours in a checkpoint, and the position; both checked."""
    check_version(checkpoint, path)
    try:
        _check_layout(checkpoint)
        if KEY in checkpoint:
            own = build_record(OwnState, checkpoint[KEY])
            return own, own.position
        epoch = count_epochs_done(checkpoint["loops"])
        return None, Position("between epochs", epoch, 0, int(checkpoint["global_step"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DamagedCheckpointError(f"{path}: is damaged: its state {why}.") from error


def _check_layout(checkpoint: Checkpoint) -> None:
    lists = ("optimizer_states", "lr_schedulers")
    for key in LIGHTNING.keys() & checkpoint.keys():
        if not isinstance(checkpoint[key], kind := list if key in lists else dict):
            name = type(checkpoint[key]).__name__
            raise ValueError(f"has a {name} as {key}, not a {kind.__name__}")
    # What a resume changes must be there before anything of the run is changed.
    loops = copy.deepcopy(checkpoint["loops"])
    place_between_epochs(loops)
    place_within_epoch(loops, 0)

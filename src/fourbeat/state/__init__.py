"""The state of a training: captured, written, read and restored, bitwise identical."""

from __future__ import annotations

from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.checkpoint_files import (
    CHECKPOINT_DIR,
    CheckpointFiles,
    find_last_checkpoints,
)
from fourbeat.state.evaluated import evaluated_at, load_evaluated
from fourbeat.state.file import CheckpointIO, read_state, write_state
from fourbeat.state.log_position import cut_logs
from fourbeat.state.snapshots import SNAPSHOT_DIR, Snapshots, find_snapshots, remove_later_snapshots
from fourbeat.state.training_state import (
    DamagedCheckpointError,
    LogPosition,
    Moment,
    Position,
    TrainingState,
)

__all__ = [
    "CHECKPOINT_DIR",
    "SNAPSHOT_DIR",
    "CheckpointFiles",
    "CheckpointIO",
    "DamagedCheckpointError",
    "LogPosition",
    "Moment",
    "Position",
    "Snapshots",
    "StateCheckpoint",
    "TrainingState",
    "cut_logs",
    "evaluated_at",
    "find_last_checkpoints",
    "find_snapshots",
    "load_evaluated",
    "read_state",
    "remove_later_snapshots",
    "write_state",
]

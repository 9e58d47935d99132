"""The state of a training: captured, written, read and restored, bitwise identical."""

from __future__ import annotations

from fourbeat.state.capture import STATE_FORMAT, Position, Resumable, capture, log_position_of
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.checkpoint_files import CheckpointFiles, find_last_checkpoints
from fourbeat.state.file import CheckpointIO, DamagedCheckpointError, read_state, write_state
from fourbeat.state.log_position import cut_logs
from fourbeat.state.ranking import RankedState, Ranking
from fourbeat.state.snapshots import SNAPSHOT_DIR, Snapshots, find_snapshots, remove_later_snapshots
from fourbeat.state.stop import StopRequest

__all__ = [
    "SNAPSHOT_DIR",
    "STATE_FORMAT",
    "CheckpointFiles",
    "CheckpointIO",
    "DamagedCheckpointError",
    "Position",
    "RankedState",
    "Ranking",
    "Resumable",
    "Snapshots",
    "StateCheckpoint",
    "StopRequest",
    "capture",
    "cut_logs",
    "find_last_checkpoints",
    "find_snapshots",
    "log_position_of",
    "read_state",
    "remove_later_snapshots",
    "write_state",
]

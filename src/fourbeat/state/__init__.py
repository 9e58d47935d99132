"""L3: the state of a training: captured, written, read, and gone on from, to the last bit."""

from __future__ import annotations

from fourbeat.state.capture import STATE_FORMAT, Position, Resumable, capture, log_position_of
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.file import CheckpointIO, DamagedCheckpointError, read_state, write_state
from fourbeat.state.kept_files import KeptFiles, newest_first
from fourbeat.state.log_position import cut_logs
from fourbeat.state.ranking import RankedState, Ranking
from fourbeat.state.snapshots import SNAPSHOT_DIR, Snapshots, find_snapshots, forget_later
from fourbeat.state.stop import StopRequest

__all__ = [
    "SNAPSHOT_DIR",
    "STATE_FORMAT",
    "CheckpointIO",
    "DamagedCheckpointError",
    "KeptFiles",
    "Position",
    "RankedState",
    "Ranking",
    "Resumable",
    "Snapshots",
    "StateCheckpoint",
    "StopRequest",
    "capture",
    "cut_logs",
    "find_snapshots",
    "forget_later",
    "log_position_of",
    "newest_first",
    "read_state",
    "write_state",
]

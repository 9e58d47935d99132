"""fourbeat: a training template whose loop is in the open.

Importing it loads neither torch nor lightning: names are resolved when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourbeat.cli.api import compose, resume, train
    from fourbeat.config.project import Project
    from fourbeat.data import Data, adopt
    from fourbeat.recorder import RecorderCallback, read_records, watch
    from fourbeat.replay import replay_lines, replay_with
    from fourbeat.run import Run
    from fourbeat.state.checkpoint import StateCheckpoint
    from fourbeat.tasks import Mean, Supervised, Task
    from fourbeat.training.evaluation import evaluate
    from fourbeat.training.fitting import fit

_HOMES = {
    "Data": "fourbeat.data",
    "Mean": "fourbeat.tasks",
    "Project": "fourbeat.config.project",
    "RecorderCallback": "fourbeat.recorder",
    "Run": "fourbeat.run",
    "StateCheckpoint": "fourbeat.state.checkpoint",
    "Supervised": "fourbeat.tasks",
    "Task": "fourbeat.tasks",
    "adopt": "fourbeat.data",
    "compose": "fourbeat.cli.api",
    "evaluate": "fourbeat.training.evaluation",
    "fit": "fourbeat.training.fitting",
    "read_records": "fourbeat.recorder",
    "replay_lines": "fourbeat.replay",
    "replay_with": "fourbeat.replay",
    "resume": "fourbeat.cli.api",
    "train": "fourbeat.cli.api",
    "watch": "fourbeat.recorder",
}

__all__ = [
    "Data",
    "Mean",
    "Project",
    "RecorderCallback",
    "Run",
    "StateCheckpoint",
    "Supervised",
    "Task",
    "adopt",
    "compose",
    "evaluate",
    "fit",
    "read_records",
    "replay_lines",
    "replay_with",
    "resume",
    "train",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fourbeat' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

"""fourbeat: a training template whose loop is in the open.

Importing it loads neither torch nor lightning: names are resolved when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourbeat.preflight.checks import compose
    from fourbeat.recorder import read_records, watch
    from fourbeat.run import Run
    from fourbeat.training.evaluation import evaluate
    from fourbeat.training.fitting import fit
    from fourbeat.training.resuming import resume
    from fourbeat.training.training import train

_HOMES = {
    "Run": "fourbeat.run",
    "compose": "fourbeat.preflight.checks",
    "evaluate": "fourbeat.training.evaluation",
    "fit": "fourbeat.training.fitting",
    "read_records": "fourbeat.recorder",
    "resume": "fourbeat.training.resuming",
    "train": "fourbeat.training.training",
    "watch": "fourbeat.recorder",
}

__all__ = ["Run", "compose", "evaluate", "fit", "read_records", "resume", "train", "watch"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fourbeat' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

"""fourbeat: a training template whose loop is in the open.

Importing it loads neither torch nor lightning: names are resolved when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourbeat.checks import compose
    from fourbeat.evaluation import evaluate
    from fourbeat.fitting import fit
    from fourbeat.recorder import read_records, watch
    from fourbeat.resuming import resume
    from fourbeat.run import Run
    from fourbeat.training import train

_HOMES = {
    "Run": "fourbeat.run",
    "compose": "fourbeat.checks",
    "evaluate": "fourbeat.evaluation",
    "fit": "fourbeat.fitting",
    "read_records": "fourbeat.recorder",
    "resume": "fourbeat.resuming",
    "train": "fourbeat.training",
    "watch": "fourbeat.recorder",
}

__all__ = ["Run", "compose", "evaluate", "fit", "read_records", "resume", "train", "watch"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fourbeat' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])

"""What a checkpoint says that Lightning has written by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def ends_an_epoch(loops: Mapping[str, Any]) -> bool:
    """Return whether Lightning has written a checkpoint at an epoch's end, not within one.

    Args:
        loops: What it holds as ``loops``: their progress.
    """
    progress = loops["fit_loop"]["epoch_loop.batch_progress"]
    return bool(progress["is_last_batch"])

"""What a checkpoint says that Lightning has written by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def ends_an_epoch(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether Lightning has written a checkpoint at an epoch's end, not within one.

    Args:
        checkpoint: As ``trainer.save_checkpoint`` has written it, the loops' progress included.
    """
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    return bool(progress["is_last_batch"])

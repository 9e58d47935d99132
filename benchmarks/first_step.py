"""A callback for ``command to first step``."""

from __future__ import annotations

import os
from typing import Any

from lightning.pytorch import Callback


class EndAtFirstStep(Callback):
    """Ends the process when the first step is made: what comes after it is not waited for."""

    def on_train_batch_end(self, *_: Any) -> None:
        """End it, without what Python does at its exit."""
        os._exit(0)

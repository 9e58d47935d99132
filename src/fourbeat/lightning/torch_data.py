"""torch's worker processes of a DataLoader."""

from __future__ import annotations

from typing import Any

from torch.utils.data import get_worker_info


def show_dataset(dataset: Any) -> None:
    """Let ``get_worker_info().dataset`` be another than what the loader fetches from.

    Args:
        dataset: Of this worker process, in which it is called.
    """
    # Attributes of a WorkerInfo, which is frozen, cannot be assigned.
    object.__setattr__(get_worker_info(), "dataset", dataset)

"""Whether a split lives on the device that trains on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from fourbeat.base.console import log
from fourbeat.base.errors import DataError
from fourbeat.data.batches import Batch, list_tensors, map_tensors

OnDevice = bool | Literal["auto"]

# The rest is for the network, its activations and the optimizer's state.
LARGEST_FRACTION = 0.5


def free_memory(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes; None where batches are not copied to it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return None


def move_to_device(
    tensors: Batch,
    on_device: OnDevice,
    device: torch.device,
    free: Callable[[torch.device], int | None] = free_memory,
) -> Batch:
    """Move a split to the device, where a batch is gathered without any copy from the host.

    Args:
        tensors: The split, in the host's memory.
        on_device: ``data.on_device``: true moves it, auto does so when it takes at most half of the
            free memory, false leaves it.
        device: What trains on it.
        free: Returns the free memory of a device in bytes; None: nothing is copied to it anyway.

    Returns:
        The split, on the device or where it was.

    Raises:
        DataError: If it is to be moved, and takes more than is free.
    """
    available = free(device) if on_device else None
    if available is None:
        return tensors
    num_bytes = sum(tensor.nbytes for tensor in list_tensors(tensors))
    if num_bytes <= available * (LARGEST_FRACTION if on_device == "auto" else 1.0):
        return map_tensors(tensors, lambda tensor: tensor.to(device))
    size = f"{num_bytes / 2**30:.2f} GiB, and {device} has {available / 2**30:.2f} GiB free"
    if on_device == "auto":
        log.info("data.on_device=auto: a split takes %s; its batches are copied one by one", size)
        return tensors
    raise DataError(
        f"data.on_device=true: a split takes {size}. Use data.on_device=false, which copies batch "
        "by batch, and data.pin_memory=true, which lets the copies overlap with the training."
    )

"""What of a training's data cannot be had again: found where it is drawn and fetched."""

from __future__ import annotations

from typing import Any

from fourbeat.data.loader import BatchLoader, ReadValues, SampleBatches
from fourbeat.data.sampled import SampledOrder, nested_in
from fourbeat.data.streams import StreamBatches


def watch_workers(loader: Any, fingerprint: ReadValues | None) -> None:
    """Have worker processes compare what they fetch from, before and after their first batches.

    Args:
        loader: Of the training; no batch has been fetched.
        fingerprint: Of what samples come from; goes to the worker processes. None: nobody asks.
    """
    if isinstance(loader, BatchLoader) and isinstance(loader.dataset, SampleBatches):
        loader.dataset.fingerprint = fingerprint if loader.num_workers else None


def changed_in_workers(loader: Any) -> set[str]:
    """Return what worker processes have changed in their copies, and said with a batch."""
    source = getattr(loader, "dataset", None)
    return source.changed if isinstance(source, SampleBatches) else set()


def describe_order(loader: Any) -> str | None:
    """Say that samples do not come in the same order when an epoch is read again.

    Returns:
        A line; None where they do, or nothing has been read yet.
    """
    if isinstance(source := getattr(loader, "dataset", None), StreamBatches):
        return _describe_stream(source)
    order = getattr(loader, "sampler", None)
    if not isinstance(order, SampledOrder) or order.repeats:
        return None
    return (
        f"resume will not restore the order of {order.name}: asked again for the "
        "same epoch, it chooses other batches. Let it draw from the global generators of Python, "
        "NumPy or torch, or from one in an attribute of its own, all of which are seeded by the "
        "epoch; and count epochs in a set_epoch(epoch), which is called for each"
    )


def _describe_stream(source: StreamBatches) -> str | None:
    if source.can_be_captured or not source.is_own_iterator:
        return None
    return (
        f"resume will not restore {type(source.stream).__name__}: iter() of this stream is itself, "
        "so it continues where it stands, and nothing reads it again from its start. Give it "
        "state_dict() and load_state_dict(), or let its __iter__ return a new iterator"
    )


def seeded_generators(loader: Any) -> list[Any]:
    """Return the generators of a sampler that are seeded by the epoch."""
    order = getattr(loader, "sampler", None)
    return nested_in(order.sampler).generators if isinstance(order, SampledOrder) else []

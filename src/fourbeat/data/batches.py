"""Batches: any tree of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

from torch import Tensor

Batch: TypeAlias = Any


def tensors_of(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors_of(value)
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            yield from tensors_of(value)
    elif is_dataclass(batch) and not isinstance(batch, type):
        for field in fields(batch):
            yield from tensors_of(getattr(batch, field.name))


def count_samples(batch: Any) -> int:
    return next((len(t) for t in tensors_of(batch) if t.ndim), 1)


def named_tensors(batch: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with their paths, e.g. ``image`` or ``0.mask``."""
    if isinstance(batch, Tensor):
        yield name or "batch", batch
    elif isinstance(batch, Mapping):
        for key, value in batch.items():
            yield from named_tensors(value, f"{name}.{key}".lstrip("."))
    elif isinstance(batch, (list, tuple)):
        for key, value in enumerate(batch):
            yield from named_tensors(value, f"{name}.{key}".lstrip("."))
    elif is_dataclass(batch) and not isinstance(batch, type):
        for field in fields(batch):
            yield from named_tensors(getattr(batch, field.name), f"{name}.{field.name}".lstrip("."))

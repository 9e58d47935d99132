"""Batches: any nesting of tuples, lists, dicts and dataclasses with tensors in it.

What else lies in one, e.g. a list of file names, is passed on as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import default_collate

from fourbeat.data.stacking import unstackable

Batch: TypeAlias = Any
"""A tensor, or tuples, lists, dicts, namedtuples and dataclasses of them, however nested."""


class Fetched(NamedTuple):
    """A batch as it comes from where it was collated, which may be another process.

    Attributes:
        batch: Any tree of tensors.
        num_samples: How many samples were collated, which its tensors need not show.
    """

    batch: Batch
    num_samples: int

    @classmethod
    def collated(cls, samples: list[Any], collate: Callable[[list[Any]], Batch]) -> Fetched:
        """Collate samples; of one that is a batch already, the samples within it are counted.

        Raises:
            DataError: They cannot be stacked, which torch's ``default_collate`` was to do.
        """
        try:
            batch = collate(samples)
        except Exception as error:
            is_torchs = getattr(collate, "function", collate) is default_collate
            if is_torchs and (why := unstackable(samples)):
                raise why from error
            raise
        is_batch = getattr(collate, "takes_one", False)
        return cls(batch, count_samples(batch) if is_batch else len(samples))

    @classmethod
    def of(cls, found: Any) -> Fetched:
        """Return it, or a batch that was not collated with its samples counted."""
        return found if isinstance(found, Fetched) else cls(found, count_samples(found))


def map_tensors(batch: Batch, function: Callable[[Tensor], Any]) -> Batch:
    """Return the same nesting with each tensor replaced; other leaves are the same objects.

    Containers keep their types, and the attributes that Python code has set.

    Args:
        batch: Is not changed.
        function: Maps a tensor to what takes its place.
    """
    return _mapped(batch, lambda leaf: isinstance(leaf, Tensor), function)


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """Copy to a device; from page-locked memory without waiting for the copies to end.

    Args:
        batch: What in it is no tensor and has a method ``to``, e.g. a packed sequence, is moved by
            that.
        device: Where to.
    """
    overlaps = device.type == "cuda"  # elsewhere a tensor could be used before it has come

    def move(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.to(device, non_blocking=overlaps)
        return leaf.to(device)

    return _mapped(batch, lambda leaf: hasattr(leaf, "to"), move)


def list_tensors(batch: Batch) -> list[Tensor]:
    """Return the tensors of a batch, always in the same order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(batch, note)
    return found


def replace_tensors(batch: Batch, tensors: Iterable[Tensor]) -> Batch:
    """Return the same nesting with other tensors, in the order of :func:`list_tensors`."""
    others = iter(tensors)
    return map_tensors(batch, lambda _: next(others))


def count_samples(batch: Batch) -> int:
    """Return the length of a batch's first tensor that has a dimension; 1 if there is none."""
    return next((len(tensor) for tensor in list_tensors(batch) if tensor.ndim), 1)


def same_layout(one: Batch, other: Batch) -> bool:
    """Return whether batches differ in no more than the numbers in their tensors, and their size.

    If they have as many samples, their tensors can then be put one after the other, and divided
    again: each has a dimension.
    """
    try:
        return bool(_layout(one) == _layout(other)) and all(t.ndim for t in list_tensors(one))
    except (ValueError, RuntimeError):  # of arrays that cannot be compared as a whole
        return False


def _layout(batch: Batch) -> Any:
    size = count_samples(batch)

    def describe(tensor: Tensor) -> tuple[object, ...]:
        has_samples = tensor.ndim > 0 and len(tensor) == size
        # Not the precision: a trainer.precision may have converted one of the two already.
        return has_samples, tensor.is_floating_point(), tensor.shape[int(has_samples) :]

    return map_tensors(batch, describe)


def join_batches(batches: Sequence[Batch]) -> Batch:
    """Put the tensors of batches of the same shapes one after the other."""
    columns = zip(*map(list_tensors, batches), strict=True)
    return replace_tensors(batches[0], [torch.cat(column) for column in columns])


def split_batch(batch: Batch, sizes: Sequence[int]) -> Iterator[Batch]:
    """Divide each tensor into parts of these lengths, without a copy."""
    rows = zip(*(torch.split(t, list(sizes)) for t in list_tensors(batch)), strict=True)
    if type(batch) is tuple and all(isinstance(leaf, Tensor) for leaf in batch):
        return rows  # by far the most frequent; 2 us less for each mini-batch
    return (replace_tensors(batch, row) for row in rows)


def _mapped(value: Any, is_leaf: Callable[[Any], bool], function: Callable[[Any], Any]) -> Any:
    if is_leaf(value):
        return function(value)
    if isinstance(value, Mapping):
        return _refilled(value, {k: _mapped(v, is_leaf, function) for k, v in value.items()})
    if isinstance(value, (tuple, list)):
        items = [_mapped(item, is_leaf, function) for item in value]
        return _relisted(value, items)
    if is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for field in fields(value):
            item = _mapped(getattr(value, field.name), is_leaf, function)
            object.__setattr__(twin, field.name, item)  # also where it is frozen
        return twin
    return value


def _refilled(mapping: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    if type(mapping) is dict or not isinstance(mapping, MutableMapping):
        return items
    twin = copy.copy(mapping)  # with the attributes that it has besides
    twin.update(items)
    return twin


def _relisted(value: Any, items: list[Any]) -> Any:
    if type(value) in (tuple, list):
        return type(value)(items)
    if isinstance(value, list):
        (twin := copy.copy(value))[:] = items
        return twin
    if all(new is old for new, old in zip(items, value, strict=True)):
        return value
    return type(value)(*items)  # of tuples' subclasses only a namedtuple can hold tensors


def describe_non_finite(batch: Batch) -> str:
    """Say which tensor of a batch has a NaN or Inf, and where; empty if all numbers are finite.

    Args:
        batch: Any nesting; a tensor of integers has none.
    """
    for name, tensor in name_tensors(batch, "batch"):
        bad = ~tensor.isfinite() if tensor.is_floating_point() or tensor.is_complex() else None
        if bad is not None and bool(bad.any()):
            place = bad.nonzero()[0].tolist() if bad.ndim else []
            value, num = tensor[tuple(place)].item(), int(bad.sum())
            where = f"{name} at {place}, of sample {place[0]}," if place else name
            more = f" ({num} such numbers in {name})" if num > 1 else ""
            return f"The batch itself holds it: {where} is {value}{more}"
    return ""


def name_tensors(batch: Batch, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with their paths: ``image``, ``boxes.0``; of a single one, ``batch``.

    Args:
        batch: Any nesting.
        path: Where it lies itself.
    """
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(batch, Tensor):
        yield path or "batch", batch
    elif isinstance(batch, Mapping):
        items = batch.items()
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        items = enumerate(batch)
    elif is_dataclass(batch):
        items = vars(batch).items()
    for key, value in items:
        yield from name_tensors(value, f"{path}.{key}" if path else str(key))

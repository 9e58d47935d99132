"""Why samples cannot be stacked to a batch: which of their entries differs, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fourbeat.base.errors import DataError

_ABSENT = "missing"


def unstackable(samples: Sequence[Any]) -> DataError | None:
    """Return what to say of samples that torch's ``default_collate`` has refused.

    Args:
        samples: Of one batch.

    Returns:
        None: nothing in them differs, and all of it is of a kind that can be stacked.
    """
    first = dict(_entries(samples[0]))
    for index, sample in enumerate(samples):
        entries = dict(_entries(sample))
        for name in dict.fromkeys((*first, *entries)):
            one, other = first.get(name, _ABSENT), entries.get(name, _ABSENT)
            if one != other:
                return _error(name, f"is {one} in its first sample and {other} in sample {index}")
            if one.startswith("an object"):
                return _error(name, f"is {one}")
    return None


def _error(name: str, differs: str) -> DataError:
    return DataError(
        f"the samples of a batch cannot be stacked: {name or 'each of them'} {differs}. Let "
        "dataset() return tensors of one shape, arrays, numbers or text, or write collate(self, "
        "samples) in your Data (the collate_fn of a DataLoader), which returns the batch; "
        "torch.nn.utils.rnn.pad_sequence pads tensors."
    )


def _entries(sample: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield what lies in a sample, by its path: its size, or its kind."""
    items: Any = ()
    if isinstance(sample, Mapping):
        items = sample.items()
    elif isinstance(sample, (tuple, list)):
        items = enumerate(sample)
        yield path, f"a {type(sample).__name__} of {len(sample)}"
    elif hasattr(sample, "shape"):
        yield path, f"of the shape {list(sample.shape)}"
    elif isinstance(sample, (int, float)):
        yield path, "a number"
    else:
        yield path, "text" if isinstance(sample, (str, bytes)) else f"an object, {sample!r:.40}"
    for key, value in items:
        yield from _entries(value, f"{path}.{key}" if path else str(key))

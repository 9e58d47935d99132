"""Loaders that the user made, or tensors, arrays and data sets in their place."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, TypeAlias

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from fourbeat.base.errors import DataError
from fourbeat.data.samples import SplitSizes
from fourbeat.data.tensors import TensorBatches

GivenLoader: TypeAlias = Iterable[Any]
"""A DataLoader, or what else yields the batches of one epoch after another."""

TAKEN = "a DataLoader, a data set, or arrays of one length, e.g. (x, y)"


class LoaderDataModule(LightningDataModule):
    """Three loaders as they were given.

    Args:
        train: Batches to train on.
        val: Batches to validate on; None for no validation.
        test: Batches to test and to predict on, if any.
        num_classes: How many classes there are; None for regression.
    """

    def __init__(
        self,
        train: GivenLoader,
        val: GivenLoader | None = None,
        test: GivenLoader | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.loaders = {"train": train, "val": val, "test": test}
        for split, loader in self.loaders.items():
            if loader is not None:  # what is missing has no hook, as in any data module
                setattr(self, f"{split}_dataloader", lambda loader=loader: loader)

    @property
    def split_sizes(self) -> SplitSizes:
        """Numbers of samples; 0 for a split that was not given, -1 for one that has no length."""
        return SplitSizes(*map(_num_samples, self.loaders.values()))


class LoaderFunction(LoaderDataModule):
    """The loaders that a function returns: a config can name it, and so a run be built again.

    Args:
        function: ``module:function``; it takes no argument, and returns the loaders of training,
            validation and, if wanted, testing, or what :func:`as_loader` makes some of.
        batch_size: Of what is no loader yet.
        num_classes: How many classes there are; None for regression.
    """

    def __init__(self, function: str, batch_size: int = 32, num_classes: int | None = None) -> None:
        found = _called(function)
        named = zip(("train", "val", "test"), found, strict=False)
        loaders = {split: as_loader(each, batch_size, split) for split, each in named}
        super().__init__(**loaders, num_classes=num_classes)


def _called(function: str) -> Sequence[Any]:
    if function.startswith("__main__"):
        raise DataError(
            f"{function}: no other process can import __main__; move it to a module of its own."
        )
    try:
        called = pkgutil.resolve_name(function)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"{function}: cannot be imported: {error}.") from None
    if not callable(called):
        raise DataError(f"{function}: is no function.")
    found = called()
    if not isinstance(found, tuple) or not 1 <= len(found) <= 3:
        raise DataError(
            f"{function}() returned a {type(found).__name__}; it must return a tuple of the "
            "loaders: (train, val), or (train, val, test)."
        )
    return found


def as_loader(given: Any, batch_size: int, split: str) -> Any:
    """Return a loader as it is, and one of anything else that has samples.

    Args:
        given: A loader; a data set of torch's kinds, or a list of samples; or tensors and arrays of
            one length in any nesting of tuples and dicts, e.g. ``(x, y)``, of which arrays in
            double precision become ``torch.get_default_dtype()``. None: there is no such split.
        batch_size: Samples per batch, if it is no loader.
        split: ``train`` is shuffled.

    Raises:
        DataError: It is nothing of the kind.
    """
    if given is None or _is_loader(given):
        return given
    dataset = _as_dataset(given)
    is_stream = isinstance(dataset, IterableDataset)
    if not is_stream and not len(dataset):
        raise DataError("has no samples")
    return DataLoader(dataset, batch_size, shuffle=split == "train" and not is_stream)


def is_batched(given: Any) -> bool:
    """Return whether something yields batches already, so that it has no use for a batch size."""
    return given is not None and _is_loader(given)


def _is_loader(given: object) -> bool:
    if isinstance(given, (str, Tensor, Dataset, Sequence, Mapping)) or hasattr(given, "__array__"):
        return False
    return hasattr(given, "__iter__") and not hasattr(given, "__next__")


def _as_dataset(given: Any) -> Any:
    if isinstance(given, Dataset):
        return given
    if isinstance(given, list) and not any(map(_is_array, given)):
        return given
    if isinstance(given, (tuple, Mapping)) or _is_array(given):
        return TensorBatches(_as_tensors(given))
    if isinstance(given, list):
        raise DataError("is a list of arrays: pass a tuple, (x, y)")
    if hasattr(given, "__next__"):
        raise DataError(f"must be {TAKEN}: it must yield batches again whenever it is iterated")
    raise DataError(f"must be {TAKEN}")


def _is_array(given: object) -> bool:
    return isinstance(given, Tensor) or hasattr(given, "__array__")


def _as_tensors(given: Any) -> Any:
    if isinstance(given, Tensor):
        return given
    if isinstance(given, Mapping):
        return {name: _as_tensors(each) for name, each in given.items()}
    if isinstance(given, tuple):
        return tuple(map(_as_tensors, given))
    try:
        tensor = torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"holds a {type(given).__name__} that no tensor can hold: {error}"
        ) from None
    return tensor.to(torch.get_default_dtype()) if tensor.dtype == torch.float64 else tensor


def _num_samples(loader: GivenLoader | None) -> int:
    if loader is None:
        return 0
    dataset = getattr(loader, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else -1

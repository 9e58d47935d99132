"""What is wrong with a data set: its settings before loading, its tensors after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, dtype
from torch import bool as bool_
from torch.utils.data import IterableDataset

from fourbeat.base.errors import DataError, Fault
from fourbeat.data.order import count_batches
from fourbeat.data.samples import SplitSizes
from fourbeat.data.seeding import Split

IGNORED = -100
"""torch's label of what has no class, e.g. padding (``ignore_index`` of its losses)."""


def batch_faults(
    *, batch_size: int, num_workers: int, drop_last: bool, num_train: int, world_size: int
) -> list[Fault]:
    """Find what is wrong with the settings of the batches.

    Args:
        batch_size: Samples per batch and process.
        num_workers: Loading processes.
        drop_last: Whether a short last batch is dropped.
        num_train: Samples in the training split.
        world_size: Number of processes that share the split.

    Returns:
        One fault for each setting that cannot work.
    """
    faults = []
    if num_workers < 0:
        value = str(num_workers)
        faults.append(Fault("out-of-range", "data.num_workers", value, "must be 0 or more"))
    if batch_size < 1:
        value = str(batch_size)
        faults.append(Fault("out-of-range", "data.batch_size", value, "must be 1 or more"))
    elif (
        drop_last and num_train > 0 and count_batches(num_train, batch_size, True, world_size) == 0
    ):
        faults.append(_oversized_batch(batch_size, num_train, world_size))
    return faults


def _oversized_batch(batch_size: int, num_train: int, world_size: int) -> Fault:
    per_process = num_train // world_size
    sharing = f", shared by {world_size} processes" if world_size > 1 else ""
    return Fault(
        "too-few-samples",
        "data.batch_size",
        str(batch_size),
        f"must be {per_process} or less with data.drop_last=true, as the training split has "
        f"{num_train} samples{sharing}",
        f"Try data.drop_last=false or data.batch_size={min(32, per_process)}.",
    )


def split_faults(
    sizes: SplitSizes, val_fraction: float, test_fraction: float, num_classes: int, world_size: int
) -> list[Fault]:
    """Find what is wrong with the division into splits.

    Args:
        sizes: The sizes that the fractions lead to.
        val_fraction: Fraction of the samples for validation.
        test_fraction: Fraction of the samples for testing.
        num_classes: Number of classes that each split must hold; 0 for regression.
        world_size: Number of processes, each of which needs a sample of every split in use.

    Returns:
        One fault for each fraction that cannot work.
    """
    fractions = {"data.val_fraction": val_fraction, "data.test_fraction": test_fraction}
    faults = [
        Fault("out-of-range", key, str(fraction), "must be 0 or more and below 1")
        for key, fraction in fractions.items()
        if not 0 <= fraction < 1
    ]
    if faults:
        return faults
    if val_fraction + test_fraction >= 1 or sizes.train < max(1, num_classes):
        allowed = f"and data.test_fraction={test_fraction} leave too few samples to train on"
        hint = "Try data.val_fraction=0.15 data.test_fraction=0.15."
        return [Fault("too-few-samples", "data.val_fraction", str(val_fraction), allowed, hint)]
    by_size = zip(fractions.items(), sizes[1:], strict=True)
    found = [_small_split(*item, size, num_classes, world_size) for item, size in by_size]
    return [fault for fault in found if fault]


def _small_split(
    key: str, fraction: float, size: int, num_classes: int, world_size: int
) -> Fault | None:
    hint = f"Try {key}=0 or a larger fraction."
    if fraction > 0 == size:
        needed = "at least one"
    elif 0 < size < num_classes:
        needed = f"at least the {num_classes} of one of each class"
        hint += " Where each token or pixel has a class, the data set says so by its target_shape."
    elif 0 < size < world_size:
        needed = f"at least one for each of the {world_size} processes"
    else:
        return None
    allowed = f"gives a split of {size} samples; it needs {needed}, or none"
    return Fault("too-few-samples", key, str(fraction), allowed, hint)


def check_dataset(name: str, split: Split, dataset: Any) -> Any:
    """Return what a data set's ``dataset`` returned; None if there is no such split.

    Args:
        name: Of its class.
        split: What it was asked for.
        dataset: What it returned.

    Raises:
        DataError: It is no data set, or there is nothing to train on.
    """
    if isinstance(dataset, IterableDataset):
        return dataset
    is_map = all(hasattr(dataset, method) for method in ("__getitem__", "__len__"))
    if dataset is not None and (not is_map or isinstance(dataset, (Mapping, str))):
        raise DataError(
            f"{name}.dataset({split!r}) returned a {type(dataset).__name__}; it must return "
            "samples with __len__ and __getitem__, e.g. a torch Dataset, an IterableDataset, or "
            "None for no such split."
        )
    if dataset is not None and len(dataset):
        return dataset
    if split == "train":
        raise DataError(f"{name}.dataset('train') returned no samples to train on.")
    return None


def stream_faults(stream: Any, steps_per_epoch: int | None) -> list[Fault]:
    """Find what is wrong with the length of the training epochs.

    Args:
        stream: What is trained on; None if that is no stream.
        steps_per_epoch: Batches of an epoch, if that is said.
    """
    key, value = "data.steps_per_epoch", str(steps_per_epoch)
    if stream is None and steps_per_epoch is not None:
        why = "is for streams, and this data set has a length"
        hint = "Use trainer.limit_train_batches for a part of an epoch."
        return [Fault("impossible-together", key, value, why, hint)]
    if steps_per_epoch is not None and steps_per_epoch < 1:
        return [Fault("out-of-range", key, value, "must be 1 or more")]
    if stream is None or steps_per_epoch or stream_length(stream) is not None:
        return []
    why = f"must be set: the stream {type(stream).__name__} does not say how long it is, and the "
    why += "learning rate's schedule must know how many batches an epoch has"
    return [Fault("no-length", key, "", why, f"Try +{key}=1000.")]


def stream_length(stream: Any) -> int | None:
    """Return how many samples a stream says that it yields; None if it does not."""
    try:
        return len(stream)
    except TypeError:
        return None


def are_integers(of: dtype) -> bool:
    """Return whether inputs of a type stay integers; others become float32, truth values too."""
    return not (of.is_floating_point or of.is_complex or of == bool_)


def check_dtype(source: str, loaded: dtype, announced: dtype) -> None:
    """Refuse integers where numbers were announced, on which the network was tried, and vice versa.

    Raises:
        DataError: With both types.
    """
    if are_integers(loaded) != are_integers(announced):
        raise DataError(
            f"{source} returned inputs of type {loaded}; input_dtype announces {announced}. "
            f"Set input_dtype = {loaded} on the class, or return inputs.to({announced})."
        )


def check_samples(
    source: str,
    loaded: Any,
    *,
    num_samples: int,
    input_shape: tuple[int, ...],
    target_shape: tuple[int, ...],
    num_classes: int | None,
) -> tuple[Tensor, Tensor]:
    """Compare what a data set loaded with what it announced.

    Args:
        source: What loaded the tensors, for the message, e.g. ``Moons.load()``.
        loaded: The loaded inputs and targets.
        num_samples: Announced number of samples.
        input_shape: Announced shape of one input.
        target_shape: Announced shape of one target; a single number may come as ``[1]``, too.
        num_classes: Announced number of classes; None for regression.

    Returns:
        Inputs and targets.

    Raises:
        DataError: If they disagree; names what was announced and what came.
    """
    inputs, targets = _pair(source, loaded)
    expected = (num_samples, *input_shape)
    if tuple(inputs.shape) != expected:
        raise DataError(
            f"{source} returned inputs of shape {tuple(inputs.shape)}; num_samples and input_shape "
            f"announce {expected}."
        )
    num_targets = len(targets) if targets.ndim else 0
    if num_targets != num_samples:
        raise DataError(f"{source} returned {num_samples} inputs but {num_targets} targets.")
    own = tuple(targets.shape[1:])
    if own != target_shape and (num_classes is not None or target_shape or own != (1,)):
        raise DataError(
            f"{source} returned a target of shape {own} for each sample; target_shape announces "
            f"{target_shape}. Set target_shape = {own} on the class, or return one target a sample."
        )
    if num_classes is not None:
        _check_labels(source, targets, num_classes)
    return inputs, targets


def _pair(source: str, loaded: Any) -> tuple[Tensor, Tensor]:
    pair = tuple(loaded) if isinstance(loaded, (tuple, list)) else (loaded,)
    if len(pair) == 2 and all(isinstance(each, Tensor) for each in pair):
        return pair
    kinds = ", ".join(type(each).__name__ for each in pair[:3])
    came = f"a {type(loaded).__name__} of {len(pair)} ({kinds})" if len(pair) > 1 else f"a {kinds}"
    raise DataError(
        f"{source} returned {came}; it must return two tensors, the inputs and their targets. "
        "torch.as_tensor makes one of an array or a list."
    )


def _check_labels(source: str, labels: Tensor, num_classes: int) -> None:
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(
            f"{source} returned targets of type {labels.dtype}; class labels must be integers."
        )
    if labels.ndim > 1:  # of tokens or pixels: those that the loss ignores have a class below 0
        labels = labels.flatten()[labels.flatten() != IGNORED]
    if not labels.numel():
        return
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= num_classes:
        raise DataError(
            f"{source} returned labels from {lowest} to {highest}; with num_classes={num_classes} "
            f"they must lie between 0 and {num_classes - 1}."
        )

"""Samples in files larger than memory, of which only the batches in use are read."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fourbeat.base.errors import Fault
from fourbeat.base.shapes import Int64
from fourbeat.config.typed import format_value
from fourbeat.data.base import DataModule, TaskKind
from fourbeat.data.samples import Statistics, statistics_of
from fourbeat.data.seeding import Split

CHUNK_BYTES = 64 * 2**20  # read at once to measure the statistics


class MappedSamples(Dataset[tuple[Tensor, Tensor]]):
    """A split of memory-mapped samples: those of a batch are read in one go, and standardised.

    Args:
        inputs: Of all splits, memory-mapped, of any type.
        targets: Of all splits.
        rows: The samples of this split.
        statistics: What the inputs are standardised with, as float32; None: they are integers, and
            stay so.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        rows: Int64[Tensor, " split"],
        statistics: Statistics | None,
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        self.rows = rows
        self.statistics = statistics

    def __len__(self) -> int:
        """Number of samples of this split."""
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Read one sample."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Read the samples of a batch: torch calls it instead, where there is one."""
        rows = self.rows[indices]
        inputs = self.inputs.index_select(0, rows)
        if self.statistics is None:
            inputs = inputs.to(torch.int64)
        else:
            inputs = self.statistics.standardise(inputs.to(torch.float32))
        return list(zip(inputs, self.targets.index_select(0, rows), strict=True))


class Mapped(DataModule):
    """Inputs in one ``.npy`` file, targets in another, as ``numpy.save`` writes them.

    The inputs stay in the file: the operating system reads what a batch needs, and keeps what fits
    in memory. With ``num_workers`` above 0 reading overlaps with training. Files on a disk that is
    slow at random access are read faster with ``shuffle: false``, and samples stored in random
    order.

    Args:
        inputs: Path of the inputs, ``[samples, ...]``, of any real type; converted batch by batch:
            bytes, as of pixels, and floats to float32, other integers, as of tokens, to int64.
        targets: Path of the targets, ``[samples]`` or ``[samples, 1]``; they are read at once.
        task: ``multiclass``, ``binary`` or ``regression``.
        num_classes: Number of classes; None for a regression.
        on_device: Must be false: the inputs stay in their file.
        **common: The arguments of ``DataModule``; ``normalize`` reads all training inputs once.

    Raises:
        ValueError: If a file is missing, or is no ``.npy`` file.
    """

    def __init__(
        self,
        *,
        inputs: str,
        targets: str,
        task: TaskKind = "multiclass",
        num_classes: int | None = None,
        on_device: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(on_device=on_device, **common)
        self.paths = Path(inputs), Path(targets)
        # Reads the headers only.
        self._inputs, self._targets = map(_mapped, self.paths)
        self.task = task
        self.num_samples = len(self._inputs)
        self.input_shape = tuple(self._inputs.shape[1:])
        self.input_dtype = torch.int64 if _are_tokens(self._inputs) else torch.float32
        self.num_classes = 2 if task == "binary" else num_classes

    def faults(self) -> list[Fault]:
        """Find what is wrong with the settings, without reading any sample."""
        if not self.on_device:
            return super().faults()
        stay = "cannot be with inputs that stay in their file"
        moved = Fault(
            "impossible-together",
            "data.on_device",
            format_value(self.on_device),
            stay,
            "Use data.on_device=false.",
        )
        return [moved, *super().faults()]

    def load(self) -> tuple[Tensor, Tensor]:
        """Return the inputs, still in their file, and the targets."""
        return self._inputs, self._targets

    @cached_property
    def mapped_splits(self) -> dict[Split, MappedSamples]:
        """The three splits; no input has been read but those that were measured."""
        pool = self._checked_pool()
        train, val, test = self._rows(pool)
        targets, are_tokens = pool.targets, self.input_dtype == torch.int64
        if self.normalize and not are_tokens:
            self.input_statistics = measure_rows(pool.inputs, train, self._per_feature)
        if self._measures_targets(targets[train]):
            targets = Statistics(self.target_mean, self.target_std).standardise(targets)
        rows: dict[Split, Tensor] = {"train": train, "val": val, "test": test}
        statistics = None if are_tokens else self.input_statistics
        return {s: MappedSamples(pool.inputs, targets, r, statistics) for s, r in rows.items()}

    def dataset(self, split: Split) -> MappedSamples:
        """Return the samples of a split, still in their file."""
        return self.mapped_splits[split]

    def setup(self, stage: str) -> None:
        """Divide and measure; a second call does nothing.

        Args:
            stage: Lightning's stage; all of them need the same splits.
        """
        _ = self.mapped_splits


def measure_rows(inputs: Tensor, rows: Int64[Tensor, " rows"], per_feature: bool) -> Statistics:
    """Measure mean and (population) standard deviation of some rows, a chunk at a time.

    Chunks are joined as Chan, Golub and LeVeque 1983 do, in float64: no sum of squares is taken
    whose difference from another would be all rounding.

    Args:
        inputs: ``[samples, ...]``.
        rows: Which of them, at least one.
        per_feature: One pair of numbers for each feature; otherwise one for all values together.

    Returns:
        The statistics; values that do not vary have deviation 1.
    """
    row_bytes = max(1, inputs[0].numel() * 8)
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for chunk in torch.split(rows, max(1, CHUNK_BYTES // row_bytes)):
        values = inputs.index_select(0, chunk).to(torch.float64)
        variance, average = torch.var_mean(values, dim=0 if per_feature else None, correction=0)
        added = len(chunk) if per_feature else values.numel()
        gap, total = average - mean, count + added
        mean = mean + gap * added / total
        squares = squares + variance * added + gap**2 * count * added / total
        count = total
    return statistics_of(mean.to(torch.float32), (squares / count).sqrt().to(torch.float32))


def _are_tokens(inputs: Tensor) -> bool:
    others = (torch.uint8, torch.bool)
    return not inputs.is_floating_point() and inputs.dtype not in others


def _mapped(path: Path) -> Tensor:
    try:
        # Copy on write: a map that is read-only would make torch warn.
        array = np.load(path, mmap_mode="c")
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be mapped: {error}") from None
    return torch.from_numpy(array)

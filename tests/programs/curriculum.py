"""A curriculum: batches of the easiest samples first, and of all in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

import fourbeat

SIZES = {"train": 96, "val": 20, "test": 20}


def points_and_labels(split: str) -> tuple[Tensor, Tensor]:
    """Draw points, and on which side of a line they lie; the nearer to it, the more difficult."""
    generator = torch.Generator().manual_seed(len(split))
    points = torch.randn(SIZES[split], 2, generator=generator)
    return points, (points.sum(1) > 0).long()


class FromEasyToDifficult:
    """Batches of indices; in epoch n, of the easiest (n + 1) thirds of the samples.

    Args:
        ease: Of each sample.
        batch_size: Samples of a batch.
        seed: Of the order within an epoch.
    """

    def __init__(self, ease: Tensor, batch_size: int, seed: int) -> None:
        self.easiest = ease.argsort(descending=True)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.easiest) // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        num_samples = min(len(self.easiest), len(self.easiest) * (self.epoch + 1) // 3)
        generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        for _ in range(len(self)):
            drawn = torch.randint(num_samples, (self.batch_size,), generator=generator)
            yield self.easiest[drawn].tolist()


class Ordered(fourbeat.Data):
    def dataset(self, split: str) -> TensorDataset:
        return TensorDataset(*points_and_labels(split))

    def batch_sampler(self, split: str) -> FromEasyToDifficult | None:
        if split != "train":
            return None
        points, _ = points_and_labels(split)
        return FromEasyToDifficult(points.sum(1).abs(), self.batch_size, self.seed)


class Watched(Ordered):
    """Notes how easy the samples of each batch are."""

    seen: ClassVar[list[Tensor]] = []

    def collate(self, samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        points, labels = (torch.stack(column) for column in zip(*samples, strict=True))
        self.seen.append(points.sum(1).abs())
        return points, labels

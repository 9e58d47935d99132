"""Streams, whose samples come one after the other: with a state of their own, and without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

import fourbeat

Sample = tuple[Tensor, Tensor]


def sample(number: int) -> Sample:
    """Draw the sample of a number: a point, and whether it lies within the unit circle."""
    point = torch.randn(2, generator=torch.Generator().manual_seed(number))
    return point, (point.norm() < 1).float()[None]


class Endless(IterableDataset[Sample]):
    """A stream of unknown length that knows where it is."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Iterator[Sample]:
        while True:
            self.position += 1
            yield sample(self.position)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class Passing(IterableDataset[Sample]):
    """A stream that ends, has a length, and no state: a resume has to skip forward."""

    def __init__(self, first: int, num_samples: int) -> None:
        self.first, self.num_samples = first, num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[Sample]:
        return map(sample, range(self.first, self.first + self.num_samples))


class Stream(fourbeat.Data):
    def __init__(self, *, is_endless: bool = True, **common: Any) -> None:
        super().__init__(**common)
        self.is_endless = is_endless

    def dataset(self, split: str) -> IterableDataset[Sample]:
        if split == "train":
            return Endless() if self.is_endless else Passing(1, 90)
        return Passing({"val": 2000, "test": 3000}[split], 20)


class Watched(Stream):
    """Notes the points of the batches of the endless stream."""

    seen: ClassVar[list[Tensor]] = []

    def collate(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        points, labels = (torch.stack(column) for column in zip(*samples, strict=True))
        self.seen.append(points)
        return points, labels

"""Weights for rare classes: the loss is a mean over weights, not over samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import fourbeat

SIZES = {"train": 90, "val": 21, "test": 21}


class Rare(fourbeat.Data):
    """Points of three classes; of ten samples, seven, two and one are of each."""

    def dataset(self, split: str) -> list[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(len(split))
        shares = torch.tensor([0.7, 0.2, 0.1])
        labels = torch.multinomial(shares, SIZES[split], replacement=True, generator=generator)
        centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        points = centres[labels] + 0.5 * torch.randn(len(labels), 2, generator=generator)
        return list(zip(points, labels, strict=True))


class Weighted(fourbeat.Task):
    def __init__(self, net: nn.Module, weights: Sequence[float]) -> None:
        super().__init__(net)
        self.register_buffer("weights", torch.tensor(weights), persistent=False)

    def losses(self, batch: tuple[Tensor, Tensor]) -> fourbeat.Mean:
        points, labels = batch
        scores = self.net(points)
        self.update_metrics(scores, labels)
        total = cross_entropy(scores, labels, self.weights, reduction="sum")
        return fourbeat.Mean(total, self.weights[labels].sum())

"""Fine-tuning: weights from a file, the first layers frozen, the next ones at a smaller rate."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

import fourbeat

NUM_FEATURES = 6
SIZES = {"train": 90, "val": 20, "test": 20}


class Backbone(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Linear(NUM_FEATURES, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1)
        )
        self.body = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.body(self.stem(inputs))


class Network(nn.Module):
    def __init__(self, num_classes: int = 4, width: int = 16) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.backbone(inputs))


class Quadrants(fourbeat.Data):
    def dataset(self, split: str) -> list[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(len(split))
        inputs = torch.randn(SIZES[split], NUM_FEATURES, generator=generator)
        labels = (inputs[:, 0] > 0).long() + 2 * (inputs[:, 1] > 0).long()
        return list(zip(inputs, labels, strict=True))


def write_backbone(path: Path) -> None:
    """Write weights as another project would leave them: of a head with more classes, too."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        torch.save(Network(num_classes=9).backbone.state_dict(prefix="backbone."), path)

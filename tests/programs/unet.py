"""A U-Net that finds discs, pixel by pixel; batches are dicts, and IoU chooses the best weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import Dataset

import fourbeat

SIZE = 8
SIZES = {"train": 64, "val": 16, "test": 16}


class Discs(Dataset[dict[str, Tensor]]):
    """Pictures of a bright disc and a dark one, drawn when they are asked for."""

    def __init__(self, num_images: int, seed: int) -> None:
        self.num_images, self.seed = num_images, seed

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        mask = torch.zeros(SIZE, SIZE, dtype=torch.long)
        for label in (1, 2):
            row, column = torch.randint(SIZE, (2,), generator=generator)
            mask[(rows - row) ** 2 + (columns - column) ** 2 <= 4] = label
        noise = 0.3 * torch.randn(1, SIZE, SIZE, generator=generator)
        return {"image": torch.tensor([0.0, 1.0, -1.0])[mask][None] + noise, "mask": mask}


class Pictures(fourbeat.Data):
    def dataset(self, split: str) -> Discs:
        return Discs(SIZES[split], seed=len(split))


def convolution(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1), nn.BatchNorm2d(num_out), nn.ReLU()
    )


class UNet(nn.Module):
    def __init__(self, width: int = 6, num_classes: int = 3) -> None:
        super().__init__()
        self.down, self.bottom = convolution(1, width), convolution(width, 2 * width)
        self.up = convolution(3 * width, width)
        self.scores = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.down(images)
        coarse = interpolate(self.bottom(nn.functional.max_pool2d(fine, 2)), scale_factor=2)
        return self.scores(self.up(torch.cat([fine, coarse], dim=1)))


class Segmentation(fourbeat.Task):
    def losses(self, batch: dict[str, Tensor]) -> Tensor:
        scores = self.net(batch["image"])  # [batch, classes, height, width]
        self.update_metrics(scores, batch["mask"])
        return cross_entropy(scores, batch["mask"])

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        return self.net(batch["image"]).argmax(1)

"""SimCLR (Chen et al. 2020): pictures without labels, in two views that are drawn each time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import Dataset

import fourbeat

SIZES = {"train": 96, "val": 24, "test": 24}


class TwoViews(Dataset[tuple[Tensor, Tensor]]):
    """Each picture twice: cut, mirrored and blurred by chance, in every split."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.view(self.images[index]), self.view(self.images[index])

    def view(self, image: Tensor) -> Tensor:
        top, left = torch.randint(3, (2,)).tolist()
        image = image[:, top : top + 6, left : left + 6]
        image = image.flip(2) if torch.rand(()) < 0.5 else image
        return image + 0.1 * torch.randn_like(image)


class Unlabelled(fourbeat.Data):
    def dataset(self, split: str) -> TwoViews:
        generator = torch.Generator().manual_seed(len(split))
        coarse = torch.rand(SIZES[split], 1, 2, 2, generator=generator)
        return TwoViews(nn.functional.interpolate(coarse, size=8, mode="bilinear"))


class Encoder(nn.Sequential):
    def __init__(self, width: int = 8) -> None:
        super().__init__(
            nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 16, width)
        )


class SimCLR(fourbeat.Task):
    def __init__(self, net: nn.Module, temperature: float = 0.5) -> None:
        super().__init__(net)
        self.temperature = temperature

    def losses(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        views = normalize(self.net(torch.cat(batch)), dim=1)  # [2 batch, width]
        alike = views @ views.T / self.temperature
        alike = alike.masked_fill(torch.eye(len(views)).bool(), -torch.inf)  # no view is its own
        partners = torch.arange(len(views), device=views.device).roll(len(views) // 2)
        return cross_entropy(alike, partners)

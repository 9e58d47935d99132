"""Pictures in a folder for each class, read and augmented one by one, by several processes.

The task is the template's own: network, loss and metric come from the config.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

import fourbeat

SIZE, MARGIN = 10, 2
SHARES = {"train": (0, 60), "val": (60, 80), "test": (80, 100)}


def draw_images(root: Path, num_classes: int = 3, num_images: int = 100) -> None:
    """Write stripes of another slope for each class."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for label in range(num_classes):
        (root / str(label)).mkdir(parents=True)
        for number in range(num_images):
            stripes = 128 + 90 * np.sin(rows * label + columns + generator.uniform(0, 6))
            pixels = (stripes + generator.normal(0, 20, stripes.shape)).clip(0, 255)
            path = root / str(label) / f"{number:03}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)


class ImageFolder(Dataset[tuple[Tensor, int]]):
    def __init__(self, paths: list[Path], is_augmented: bool) -> None:
        self.paths, self.is_augmented = paths, is_augmented

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self.paths[index]
        with Image.open(path) as image:
            pixels = np.asarray(image, dtype=np.float32) / 255
        return torch.from_numpy(self.cropped(pixels))[None], int(path.parent.name)

    def cropped(self, pixels: np.ndarray) -> np.ndarray:
        """Cut the middle out; to augment, anything, flipped and brightened as three dice fall."""
        if not self.is_augmented:
            return pixels[MARGIN // 2 : -MARGIN // 2, MARGIN // 2 : -MARGIN // 2]
        top, left = random.randint(0, MARGIN), random.randint(0, MARGIN)
        pixels = pixels[top : top + SIZE - MARGIN, left : left + SIZE - MARGIN]
        if torch.rand(()) < 0.5:
            pixels = pixels[::-1].copy()
        return (pixels * np.random.uniform(0.8, 1.2)).astype(np.float32)


class Images(fourbeat.Data):
    def __init__(self, *, root: str, **common: Any) -> None:
        super().__init__(**common)
        self.root = Path(root)

    def dataset(self, split: str) -> ImageFolder:
        first, last = SHARES[split]
        folders = sorted(path for path in self.root.iterdir() if path.is_dir())
        paths = [path for folder in folders for path in sorted(folder.iterdir())[first:last]]
        return ImageFolder(paths, is_augmented=split == "train")


class Convolutions(nn.Sequential):
    def __init__(self, num_channels: int = 8, num_classes: int = 3) -> None:
        super().__init__(
            nn.Conv2d(1, num_channels, 3),
            nn.BatchNorm2d(num_channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(4 * num_channels, num_classes),
        )

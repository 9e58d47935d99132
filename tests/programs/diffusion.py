"""Denoising diffusion (Ho et al. 2020) of points, with averaged weights: the task draws noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import fourbeat

SIZES = {"train": 90, "val": 20, "test": 20}


class Spiral(fourbeat.Data):
    def dataset(self, split: str) -> list[Tensor]:
        turns = torch.rand(SIZES[split], generator=torch.Generator().manual_seed(len(split)))
        angles = 4 * math.pi * turns
        return list(torch.stack([turns * angles.cos(), turns * angles.sin()], dim=1))


class Denoiser(nn.Module):
    def __init__(self, num_times: int = 20, width: int = 16) -> None:
        super().__init__()
        self.times = nn.Embedding(num_times, width)
        self.points, self.noise = nn.Linear(2, width), nn.Linear(width, 2)
        noise_added = torch.linspace(1e-3, 0.2, num_times)
        self.register_buffer("signal", (1 - noise_added).cumprod(0).sqrt())

    def forward(self, points: Tensor, times: Tensor) -> Tensor:
        return self.noise(torch.relu(self.points(points) + self.times(times)))


class Diffusion(fourbeat.Task):
    def losses(self, points: Tensor) -> Tensor:
        times = torch.randint(len(self.net.signal), (len(points),), device=points.device)
        noise, signal = torch.randn_like(points), self.net.signal[times, None]
        noisy = signal * points + (1 - signal**2).sqrt() * noise
        return mse_loss(self.net(noisy, times), noise)

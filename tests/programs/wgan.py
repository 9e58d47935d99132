"""A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017): several turns of the critic."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import fourbeat

NUM_NOISE = 4
SEEDS = {"train": 0, "val": 1, "test": 2}
SIZES = {"train": 96, "val": 20, "test": 20}


class Corners(fourbeat.Data):
    """Points around the corners of a square; a batch is one tensor."""

    def dataset(self, split: str) -> list[Tensor]:
        generator = torch.Generator().manual_seed(SEEDS[split])
        corners = torch.randint(2, (SIZES[split], 2), generator=generator) * 2.0 - 1
        return list(corners + 0.1 * torch.randn(corners.shape, generator=generator))


class Networks(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, 1))
        self.generator = nn.Sequential(nn.Linear(NUM_NOISE, width), nn.SiLU(), nn.Linear(width, 2))


class WGAN(fourbeat.Task):
    monitor = "val/distance"  # what the critic estimates between the real and the drawn

    def __init__(self, net: nn.Module, critic_turns: int = 3, penalty: float = 10.0) -> None:
        super().__init__(net)
        self.critic_turns, self.penalty = critic_turns, penalty

    def steps(self, real: Tensor) -> Iterator[tuple[str, Tensor]]:
        for _ in range(self.critic_turns):
            fake = self.draw(len(real)).detach()
            yield "critic", self.distance(fake, real) + self.penalty * self.steepness(real, fake)
        yield "generator", -self.net.critic(self.draw(len(real))).mean()

    def evaluate(self, real: Tensor) -> dict[str, Tensor]:
        return {"distance": -self.distance(self.draw(len(real)), real)}

    def draw(self, num_samples: int) -> Tensor:
        return self.net.generator(torch.randn(num_samples, NUM_NOISE, device=self.device))

    def distance(self, fake: Tensor, real: Tensor) -> Tensor:
        return self.net.critic(fake).mean() - self.net.critic(real).mean()

    def steepness(self, real: Tensor, fake: Tensor) -> Tensor:
        """How far the critic's slope between the real and the drawn is from 1."""
        share = torch.rand(len(real), 1, device=self.device)
        between = (share * real + (1 - share) * fake).requires_grad_()
        scores = self.net.critic(between)
        (slopes,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        return ((slopes.norm(dim=1) - 1) ** 2).mean()

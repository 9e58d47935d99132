"""Networks with layers that nobody uses, of which several processes must not wait for gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from programs.tagger import LSTMTagger
from torch import Tensor, nn
from torch.nn.functional import softplus

from fourbeat import Task
from project.models.gan import Adversaries


class Idle(LSTMTagger):
    """Has a layer that nobody uses."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


class IdleGAN(Adversaries):
    """Has a layer in each part that nobody uses."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.d.idle, self.g.idle = nn.Linear(2, 2), nn.Linear(2, 2)


class Fixed(Task):
    """Draws nothing: the noise is made of the samples."""

    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        real, _ = batch
        fake = self.net.g(real[:, :1].expand(-1, self.net.num_noise))
        yield "d", (softplus(-self.net.d(real)) + softplus(self.net.d(fake.detach()))).mean()
        yield "g", softplus(-self.net.d(fake)).mean()

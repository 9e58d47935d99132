"""A generative adversarial network (Goodfellow et al. 2014): two optimizers that take turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from fourbeat import Task


class GAN(Task):
    """Learns to draw samples: ``net.g`` makes some of noise, ``net.d`` judges them.

    At each yield the optimizer of that name makes a step (``conf/optim/gan.yaml``).
    """

    def steps(self, batch: Sequence[Tensor]) -> Iterator[tuple[str, Tensor]]:
        real, _ = batch
        noise = torch.randn(len(real), self.net.num_noise, device=self.device)
        fake = self.net.g(noise)
        # -log d(real) - log(1 - d(fake)), of logits: d learns which is which.
        yield "d", (softplus(-self.net.d(real)) + softplus(self.net.d(fake.detach()))).mean()
        # -log d(fake), by the d of now: g learns to pass for real.
        yield "g", softplus(-self.net.d(fake)).mean()

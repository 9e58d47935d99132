"""A variational autoencoder (Kingma and Welling 2014): two losses, both logged and recorded."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from fourbeat import Task


class VAE(Task):
    """Learns to code images in few normal numbers.

    Args:
        net: Maps images to reconstructions, and to means and log-variances of their codes.
        beta: What the divergence of the codes from the standard normal counts, above 0.
    """

    def __init__(self, net: nn.Module, beta: float = 1.0) -> None:
        super().__init__(net)
        self.beta = beta

    def losses(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        images, _ = batch
        reconstructions, mean, log_var = self.net(images)
        # Both are per image: the squared error is that of all its pixels.
        error = mse_loss(reconstructions, images, reduction="sum") / len(images)
        divergence = (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean() / 2
        return {"reconstruction": error, "kl": self.beta * divergence}

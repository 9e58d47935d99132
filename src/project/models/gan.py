"""The two networks of a generative adversarial network, for points or flattened images."""

from __future__ import annotations

from torch import nn

from project.models.mlp import MLP


class Adversaries(nn.Module):
    """A generator ``g`` and a discriminator ``d``.

    Args:
        num_features: Numbers in one sample.
        num_noise: Numbers that the generator makes a sample of.
        hidden_features: Width of the one hidden layer of each.
    """

    def __init__(self, num_features: int, num_noise: int = 8, hidden_features: int = 64) -> None:
        super().__init__()
        self.num_noise = num_noise
        self.g = MLP(num_noise, num_features, (hidden_features,))
        self.d = MLP(num_features, 1, (hidden_features,), "leaky_relu")

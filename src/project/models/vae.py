"""Encoder and decoder of a variational autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from project.models.mlp import MLP


class AutoEncoder(nn.Module):
    """Codes each sample in ``num_codes`` normal numbers, draws some, and decodes these.

    Args:
        num_features: Numbers in one sample, once flattened.
        num_codes: Numbers that it is coded in.
        hidden_features: Width of the one hidden layer on either side.
    """

    def __init__(self, num_features: int, num_codes: int = 8, hidden_features: int = 128) -> None:
        super().__init__()
        self.encoder = MLP(num_features, 2 * num_codes, (hidden_features,))
        self.decoder = MLP(num_codes, num_features, (hidden_features,))

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions, and means and log-variances of the codes."""
        mean, log_var = self.encoder(samples).chunk(2, dim=1)
        codes = mean + torch.randn_like(mean) * (log_var / 2).exp()
        return self.decoder(codes).reshape(samples.shape), mean, log_var

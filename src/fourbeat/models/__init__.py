"""L2: the networks: plain ``nn.Module``; no Lightning, no logging, no config."""

from fourbeat.models.circles import CirclesNet
from fourbeat.models.mlp import MLP, Activation, Norm

__all__ = ["MLP", "Activation", "CirclesNet", "Norm"]

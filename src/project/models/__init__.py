"""The networks: plain ``nn.Module``; no Lightning, no logging, no config."""

from project.models.circles import CirclesNet
from project.models.mlp import MLP, Activation, Norm

__all__ = ["MLP", "Activation", "CirclesNet", "Norm"]

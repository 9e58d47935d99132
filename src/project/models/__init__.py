"""The networks: plain ``nn.Module``; no Lightning, no logging, no config."""

from project.models.circles import CirclesNet
from project.models.gan import Adversaries
from project.models.mlp import MLP, Activation, Norm
from project.models.vae import AutoEncoder

__all__ = ["MLP", "Activation", "Adversaries", "AutoEncoder", "CirclesNet", "Norm"]

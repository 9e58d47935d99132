"""L1: the config: composing it, its schema, its checks, its messages. No torch."""

from fourbeat.config.leaves import Leaf, build
from fourbeat.config.schema import EvalConfig, TrainConfig

__all__ = ["EvalConfig", "Leaf", "TrainConfig", "build"]

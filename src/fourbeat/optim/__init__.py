"""Optimizers and their parameter groups, schedulers and when they step."""

from fourbeat.optim.linear_warmup_cosine import LinearWarmupCosineLR

__all__ = ["LinearWarmupCosineLR"]

"""The keys of leaves that can be checked before torch is imported.

All others are checked against the target's signature (``config.signatures``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from fourbeat.config.sections import (
    Betas,
    Fraction,
    LeafSection,
    NonNegative,
    NonNegativeInt,
    OpenSection,
    Patterns,
    Positive,
    Seed,
    Share,
    optional,
)


class DataConfig(LeafSection):
    """A data set; see :class:`fourbeat.Data` and :class:`fourbeat.data.DataModule`."""

    batch_size: PositiveInt | None = optional(32)
    shuffle: bool | None = optional(True)
    num_workers: NonNegativeInt | None = optional(0)
    pin_memory: bool | None = optional(False)
    drop_last: bool | None = optional(False)
    normalize: bool | None = optional(True)
    val_fraction: Fraction | None = optional(0.15)
    test_fraction: Fraction | None = optional(0.15)
    split_seed: Seed | None = optional(0)
    on_device: bool | Literal["auto"] | None = optional("auto")
    steps_per_epoch: PositiveInt | None = optional(1000)


class HyperparametersConfig(OpenSection):
    """Numbers of an optimizer."""

    lr: Positive | None = optional(0.001)
    weight_decay: NonNegative | None = optional(0.01)
    momentum: Fraction | None = optional(0.9)
    dampening: Share | None = optional(0.0)
    betas: Betas | None = optional([0.9, 0.999])


class ParameterGroupConfig(HyperparametersConfig):
    """Other numbers for the parameters whose names match."""

    params: Patterns


class OptimConfig(HyperparametersConfig, LeafSection):
    """An optimizer, what it trains, and which of these its weight decay spares."""

    params: Patterns | None = optional("head.*")
    groups: list[ParameterGroupConfig] = Field(default=[])
    fused: bool | None = optional(True)
    exclude_from_weight_decay: list[Literal["bias", "norm"]] = Field(default=[])


class SchedulerConfig(LeafSection):
    """A learning-rate scheduler, when it steps, which arguments receive its horizon and peak."""

    interval: Literal["step", "epoch"] = Field(default="epoch", examples=["step"])
    horizon: str | None = None
    peak: str | None = None
    monitor: str | None = None
    warmup_fraction: Fraction | None = optional(0.05)
    gamma: Positive | None = optional(0.1)
    step_size: PositiveInt | None = optional(10)
    patience: NonNegativeInt | None = optional(2)
    # Torch takes values below 0 for all of these, and trains on.
    max_lr: Positive | list[Positive] | None = optional(0.01)
    base_lr: NonNegative | list[NonNegative] | None = optional(0.001)
    eta_min: NonNegative | None = optional(0.0)
    min_lr: NonNegative | list[NonNegative] | None = optional(0.0)
    factor: Share | None = optional(0.5)
    threshold: NonNegative | None = optional(1e-4)
    cooldown: NonNegativeInt | None = optional(0)
    eps: NonNegative | None = optional(1e-8)
    total_iters: NonNegativeInt | None = optional(5)
    div_factor: Positive | None = optional(25.0)
    final_div_factor: Positive | None = optional(1e4)
    base_momentum: Fraction | list[Fraction] | None = optional(0.85)
    max_momentum: Fraction | list[Fraction] | None = optional(0.95)
    power: NonNegative | None = optional(1.0)


class LossConfig(LeafSection):
    """A loss."""

    label_smoothing: Share | None = optional(0.1)

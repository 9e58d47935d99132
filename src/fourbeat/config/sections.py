"""What the sections of a config are made of: ranges, required keys, leaves.

Of the leaves stand here the keys that can be checked before torch is imported. All others are
checked against the target's signature (``config.signatures``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PositiveInt, Tag, model_serializer

UnlimitedOr = Literal[-1] | PositiveInt
Fraction = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
BatchLimit = NonNegativeInt | Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Betas = Annotated[list[Fraction], Field(min_length=2, max_length=2)]
Mode = Literal["min", "max"]
Pattern = Annotated[str, Field(min_length=1)]
Patterns = Pattern | Annotated[list[Pattern], Field(min_length=1)]
MixedOrTrue = Literal["32-true", "16-mixed", "bf16-mixed", "64-true", "16-true", "bf16-true"]
Precision = MixedOrTrue | Literal["transformer-engine", "transformer-engine-float16"]


def optional(example: Any) -> Any:
    """A leaf's key that need not be there, since not every target has it.

    Args:
        example: A value to offer to who gave a wrong one.
    """
    return Field(default=None, examples=[example])


def required(hint: str, **bounds: Any) -> Any:
    """A key without a default.

    Args:
        hint: For who has not given it, e.g. ``Add other=RUN_FOLDER.``
        **bounds: Of the value, e.g. ``min_length``.
    """
    return Field(description=hint, **bounds)


class Section(BaseModel):
    """A section of the config whose keys are all ours: an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OpenSection(BaseModel):
    """A section of which some keys are ours, and checked here; only what was given is passed on."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, populate_by_name=True)

    @model_serializer
    def _given(self) -> dict[str, Any]:
        """Only what was given: not every target takes all of our keys."""
        fields = type(self).model_fields
        own = (n for n in fields if n in self.model_fields_set)
        given = {fields[n].alias or n: getattr(self, n) for n in own}
        return given | (self.model_extra or {})


class LeafSection(OpenSection):
    """A leaf: our keys are checked here, the others against the target's signature."""

    target: str = Field(alias="_target_", min_length=1)

    def leaf(self) -> dict[str, Any]:
        """Return the keys that were given, with ``_target_``: what ``build`` takes."""
        return self.model_dump()


LEAF, NAMED = "one leaf", "named leaves"
"""What pydantic calls the members of :data:`OneOrNamed` in its errors."""

L = TypeVar("L", bound=LeafSection)


def has_names(section: Any) -> bool:
    """Return whether a section, not checked yet, is no leaf but holds some by their names."""
    if not isinstance(section, Mapping) or "_target_" in section:
        return False
    return any(isinstance(each, (Mapping, LeafSection)) for each in section.values())


OneOrNamed = Annotated[
    Annotated[L, Tag(LEAF)] | Annotated[dict[str, L], Tag(NAMED)],
    Discriminator(lambda section: NAMED if has_names(section) else LEAF),
]
"""One leaf, or several by names of the user's: the leaf is what has a ``_target_``."""


def none_if_empty(section: Any) -> Any:
    """Read what ``GROUP=none`` composes to, an empty section, as None."""
    return None if section == {} else section


def named(section: L | dict[str, L] | None) -> dict[str, L]:
    """Return the leaves of a :data:`OneOrNamed` section by name; the name of a single one is ""."""
    if section is None:
        return {}
    return section if isinstance(section, dict) else {"": section}


def key_of(group: str, name: str) -> str:
    """Return where a leaf of a :data:`OneOrNamed` section stands, e.g. ``optim`` or ``optim.d``."""
    return f"{group}.{name}" if name else group


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

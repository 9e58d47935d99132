"""Every key that fourbeat itself reads, with its type, range, default and meaning. No torch.

The YAML files in ``conf/`` spell the same defaults where users look for them (a test keeps the two
equal); the defaults here let a config written by an older version load.

Leaves (``data``, ``model``, ``loss``, ``optim``, ``scheduler``, loggers, more callbacks) are
mappings with a ``_target_``: see ``config.sections``. ``optim`` and ``scheduler`` may be
several by name: ``config.sections.OneOrNamed``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PositiveInt, PrivateAttr, model_validator

from fourbeat.config.composition import Composition
from fourbeat.config.flag_values import CheckInterval, MaxTime, StrategyChoice
from fourbeat.config.rehearsals import spelled_out
from fourbeat.config.sections import (
    BatchLimit,
    DataConfig,
    LeafSection,
    LossConfig,
    Mode,
    NonNegative,
    NonNegativeInt,
    OneOrNamed,
    OptimConfig,
    Pattern,
    Positive,
    Precision,
    SchedulerConfig,
    Section,
    Seed,
    UnlimitedOr,
    key_of,
    named,
    none_if_empty,
)


class LoopConfig(Section):
    """Who runs the beats, and what happens between backward and step."""

    name: Literal["four_beat", "automatic"] = "four_beat"
    gradient_clip_val: Positive | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    accumulate_grad_batches: PositiveInt = 1
    steps_per_execution: PositiveInt | Literal["auto"] = "auto"
    compile: bool = False
    terminate_on_nan: bool = True


class TrainerConfig(Section):
    """Lightning's Trainer flags; their meaning is Lightning's. The others: ``forbidden_flags``."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: (
        PositiveInt | Literal["auto"] | Annotated[list[NonNegativeInt], Field(min_length=1)]
    ) = 1
    num_nodes: PositiveInt = 1
    strategy: StrategyChoice = "auto"
    precision: Precision = "32-true"
    max_epochs: UnlimitedOr = 20
    max_steps: UnlimitedOr = -1
    min_epochs: PositiveInt | None = None
    min_steps: PositiveInt | None = None
    max_time: MaxTime = None
    limit_train_batches: BatchLimit = 1.0
    limit_val_batches: BatchLimit = 1.0
    limit_test_batches: BatchLimit = 1.0
    limit_predict_batches: BatchLimit = 1.0
    fast_dev_run: bool | NonNegativeInt = False
    overfit_batches: BatchLimit = 0.0
    val_check_interval: CheckInterval = 1.0
    check_val_every_n_epoch: PositiveInt | None = 1
    log_every_n_steps: PositiveInt = 10
    num_sanity_val_steps: NonNegativeInt = 2
    deterministic: bool | Literal["warn"] = False
    benchmark: bool | None = None
    inference_mode: bool = True
    sync_batchnorm: bool = False
    detect_anomaly: bool = False
    profiler: Literal["simple", "advanced", "pytorch"] | None = None

    @property
    def strategy_name(self) -> str:
        """The name of the strategy, or the dotted path of its class."""
        return self.strategy if isinstance(self.strategy, str) else str(self.strategy["_target_"])

    @property
    def is_sharded(self) -> bool:
        """Whether no process has the whole of a gradient."""
        return self.strategy_name.rpartition(".")[2].lower().startswith("fsdp")


def _number_of_last(value: Any) -> Any:
    """Read the yes or no of the first runs' manifests as the number of last checkpoints."""
    return {True: 2, False: 0}[value] if isinstance(value, bool) else value


class ModelCheckpointConfig(Section):
    """Which checkpoints are saved, and how often: the best by a metric, and the last."""

    monitor: str = "val/loss"
    mode: Mode = "min"
    save_top_k: PositiveInt = 1
    save_last: Annotated[NonNegativeInt, BeforeValidator(_number_of_last)] = 2
    save_snapshots: NonNegativeInt = 8
    every_n_train_steps: PositiveInt | None = None
    train_time_interval_s: Positive = 60.0
    max_time_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    max_disk_gib: Positive = 50.0


class EarlyStoppingConfig(Section):
    """When a run ends before its horizon."""

    monitor: str = "val/loss"
    mode: Mode = "min"
    patience: PositiveInt = 10
    min_delta: NonNegative = 0.0


class RecorderConfig(Section):
    """What is written down of each optimizer step."""

    layers_every_n_steps: PositiveInt = 100


class SectionWithLeaves(Section):
    """A section of which the other keys are leaves of the user's."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, LeafSection | None]

    @property
    def others(self) -> dict[str, LeafSection]:
        """The user's own leaves that are not switched off, by name."""
        return {name: leaf for name, leaf in (self.model_extra or {}).items() if leaf is not None}


class CallbacksConfig(SectionWithLeaves):
    """The standard callbacks, each off where it is absent; other keys are leaves of the user's."""

    model_checkpoint: ModelCheckpointConfig | None = None
    early_stopping: EarlyStoppingConfig | None = None
    recorder: RecorderConfig | None = None
    learning_rate_monitor: bool = False
    progress: Literal["auto", "bar", "lines", "none"] = Field(default="none", examples=["auto"])


STANDARD_CALLBACKS = CallbacksConfig.model_validate(
    {
        "model_checkpoint": ModelCheckpointConfig(),
        "early_stopping": EarlyStoppingConfig(),
        "recorder": RecorderConfig(),
        "learning_rate_monitor": True,
        "progress": "auto",
    }
)
"""What ``callbacks=default`` stands for."""


class MetricsConfig(SectionWithLeaves):
    """What is measured in evaluation; the other keys are leaves of torchmetrics, by name."""

    auto: bool = True


SUPERVISED = LeafSection.model_validate({"_target_": "fourbeat.tasks.Supervised"})
"""What a config without a task trains."""


class PathsConfig(Section):
    """Folders, relative to where the command is typed."""

    data_dir: str = Field(default="data", min_length=1)
    output_dir: str = Field(default="runs", min_length=1)


class DebugConfig(Section):
    """Where a training stops and asks."""

    pause_at: NonNegativeInt | None = None
    pause_on: Literal["nonfinite", "spike"] | None = None


class SweepConfig(Section):
    """How the jobs of a sweep are compared, and what each returns to Hydra's sweeper."""

    metric: str = "val/loss"
    mode: Mode = "min"


class ResumeConfig(Section):
    """Which run is resumed, from which of its states."""

    run: Annotated[str, Field(min_length=1)] | None = None
    checkpoint: str = Field(default="last", min_length=1)
    force: bool = False


class ResumeRequest(Section):
    """What a command line says of ``resume``."""

    resume: ResumeConfig = ResumeConfig()


def _section(value: Any) -> Any:
    """Read what older files have, null or a run, as the section that it is now."""
    if value is None:
        return {}
    return {"run": value} if isinstance(value, str) and value else value


NONE = BeforeValidator(none_if_empty)


class TrainConfig(Section):
    """A whole run: what ``conf/train.yaml`` composes to, checked."""

    seed: Seed = 42
    from_: Annotated[str, Field(min_length=1)] | None = Field(default=None, alias="from")
    resume: Annotated[ResumeConfig, BeforeValidator(_section)] = ResumeConfig()
    test: bool = True
    init_from: Annotated[str, Field(min_length=1)] | None = None
    freeze: Pattern | list[Pattern] = Field(default=[])
    paths: PathsConfig = PathsConfig()
    loop: LoopConfig = LoopConfig()
    trainer: TrainerConfig = TrainerConfig()
    callbacks: CallbacksConfig = STANDARD_CALLBACKS
    sweep: SweepConfig = SweepConfig()
    debug: DebugConfig = DebugConfig()
    data: DataConfig
    model: Annotated[LeafSection | None, NONE]
    task: LeafSection = SUPERVISED
    loss: Annotated[LossConfig | None, NONE]
    metrics: MetricsConfig = Field(default_factory=lambda: MetricsConfig.model_validate({}))
    optim: Annotated[OneOrNamed[OptimConfig] | None, NONE]
    scheduler: Annotated[OneOrNamed[SchedulerConfig] | None, NONE]
    logger: dict[str, LeafSection] = Field(default={})
    # Not a key: what the config was composed from, for the manifest.
    _composition: Composition = PrivateAttr(default_factory=Composition)

    @property
    def composition(self) -> Composition:
        """What the config was composed from; empty for one that was made in Python."""
        return self._composition

    @property
    def optimizers(self) -> dict[str, OptimConfig]:
        """The optimizers by name; the name of a single one is ""."""
        return named(self.optim)

    @property
    def schedulers(self) -> dict[str, SchedulerConfig]:
        """The scheduler of each optimizer, by its name; a single one is that of each."""
        if self.scheduler is None or isinstance(self.scheduler, dict):
            return named(self.scheduler)
        return dict.fromkeys(self.optimizers, self.scheduler)

    @property
    def following(self) -> dict[str, EarlyStoppingConfig | ModelCheckpointConfig | SchedulerConfig]:
        """What follows a metric, by where it stands, e.g. ``callbacks.early_stopping``."""
        own, schedulers = self.callbacks, named(self.scheduler).items()
        sections = {
            "callbacks.early_stopping": own.early_stopping,
            "callbacks.model_checkpoint": own.model_checkpoint,
            **{key_of("scheduler", name): section for name, section in schedulers},
        }
        return {key: section for key, section in sections.items() if section and section.monitor}

    def composed_from(self, composition: Composition) -> TrainConfig:
        """Return the config with what it was composed from."""
        copy = self.model_copy()
        copy._composition = composition
        return copy

    @model_validator(mode="after")
    def _spell_out(self) -> TrainConfig:
        """Set the keys that ``fast_dev_run`` and ``overfit_batches`` stand for."""
        for section, value in spelled_out(self).items():
            vars(self)[section] = value  # frozen for everybody else
        return self

    def plain(self) -> dict[str, Any]:
        """Return plain dicts and lists: every key of ours, and of leaves what was given."""
        return self.model_dump(by_alias=True)

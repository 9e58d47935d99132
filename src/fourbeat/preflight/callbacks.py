"""Which callbacks work, in which loop, and why some are refused: one table, of which all know.

``docs/callbacks.md`` shows it, the check refuses by it, and each line is a test.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any, NamedTuple

from lightning.pytorch import Callback

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.sections import LeafSection

_MODULE = "lightning.pytorch.callbacks"


class Treatment(NamedTuple):
    """How a callback is treated, alike in both loops.

    Attributes:
        target: The class.
        arguments: An example of its arguments, with which it is tested.
        note: What is to be known of it where it works.
        refusal: Why it is refused; empty where it works.
        hint: What to do instead.
    """

    target: str
    arguments: dict[str, Any]
    note: str = ""
    refusal: str = ""
    hint: str = ""

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.target.rpartition(".")[2]


SINGLE = "sees each batch: no executions"

WORKING_CALLBACKS = (
    Treatment(
        f"{_MODULE}.BackboneFinetuning",
        {"unfreeze_backbone_at_epoch": 1},
        "the task has a property `backbone`; a schedule moves its rate as that of the first group",
    ),
    Treatment(f"{_MODULE}.DeviceStatsMonitor", {"cpu_stats": False}, SINGLE),
    Treatment(
        f"{_MODULE}.EarlyStopping",
        {"monitor": "val/accuracy", "mode": "max", "patience": 1},
        "also beside ours",
    ),
    Treatment(
        f"{_MODULE}.EMAWeightAveraging",
        {"decay": 0.9},
        f"{SINGLE}; its averages are validated, saved as best and tested",
    ),
    Treatment(
        f"{_MODULE}.GradientAccumulationScheduler",
        {"scheduling": {0: 1, 1: 2}},
        "schedules reckon with `loop.accumulate_grad_batches`",
    ),
    Treatment(f"{_MODULE}.LambdaCallback", {}, "each hook that it gets"),
    Treatment(f"{_MODULE}.LearningRateMonitor", {}, SINGLE),
    Treatment(
        f"{_MODULE}.ModelCheckpoint",
        {"every_n_train_steps": 5},
        "into a folder of its name",
    ),
    Treatment(f"{_MODULE}.ModelSummary", {}),
    Treatment(
        f"{_MODULE}.StochasticWeightAveraging",
        {"swa_lrs": 0.05, "swa_epoch_start": 1, "annealing_epochs": 2},
        "states are saved between epochs alone, where it can be restored",
    ),
    Treatment(f"{_MODULE}.Timer", {"duration": {"seconds": 0}}, "looks between executions"),
    Treatment(
        f"{_MODULE}.WeightAveraging",
        {},
        f"{SINGLE}; its averages are validated, saved as best and tested",
    ),
)

TRIALS = "trains on trial with all other callbacks put away, the loop among them"

REFUSED_CALLBACKS = (
    Treatment(
        f"{_MODULE}.BatchSizeFinder",
        {},
        refusal=f"{TRIALS}, for a batch size that the run's config would not know",
        hint="Try some: -m data.batch_size=32,64,128 trainer.max_steps=100.",
    ),
    Treatment(
        f"{_MODULE}.LearningRateFinder",
        {},
        refusal=f"{TRIALS}, for a learning rate that the run's config would not know",
        hint="Try some: -m optim.lr=1e-4,1e-3,1e-2 trainer.max_steps=100.",
    ),
    Treatment(
        f"{_MODULE}.OnExceptionCheckpoint",
        {"dirpath": "on_exception"},
        refusal="starts a new run from the last file that it finds",
        hint="An exception saves the state anyway: resume=RUN.",
    ),
    Treatment(
        f"{_MODULE}.ModelPruning",
        {"pruning_fn": "l1_unstructured", "amount": 0.3},
        refusal="saves no masks: what it has pruned would grow again after a resume",
        hint="Prune the weights of a finished run with torch.nn.utils.prune.",
    ),
)

TREATMENTS = tuple(
    sorted((*WORKING_CALLBACKS, *REFUSED_CALLBACKS), key=lambda each: each.name.lower())
)


NEED_LOGGERS = ("DeviceStatsMonitor", "LearningRateMonitor")


def callback_faults(key: str, section: LeafSection, *, has_loggers: bool) -> list[Fault]:
    """Find whether a callback of the config is refused.

    Args:
        key: Where its leaf stands.
        section: The leaf; its target can be imported.
        has_loggers: Whether the run has any.
    """
    kind = resolve_name(section.target)
    if not isinstance(kind, type):
        return []
    needing = [n for n in NEED_LOGGERS if issubclass(kind, resolve_name(f"{_MODULE}.{n}"))]
    if needing and not has_loggers:
        why, hint = "needs a logger", "Use e.g. logger=csv."
        return [Fault("impossible-together", key, kind.__name__, why, hint)]
    stats = section.leaf().get("cpu_stats")
    return _refusal(key, kind) or _missing_package(key, kind, stats)


def refuse_callbacks(callbacks: Iterable[Callback]) -> None:
    """Refuse callbacks that a project's builder has added.

    Raises:
        ConfigError: With each that is refused.
    """
    raise_faults([fault for each in callbacks for fault in _refusal("callbacks", type(each))])


def _refusal(key: str, kind: type) -> list[Fault]:
    return [
        Fault("not-supported", key, kind.__name__, f"is refused: it {each.refusal}", each.hint)
        for each in REFUSED_CALLBACKS
        if issubclass(kind, resolve_name(each.target))
    ]


def _missing_package(key: str, kind: type, stats: bool | None) -> list[Fault]:
    monitor = resolve_name(f"{_MODULE}.DeviceStatsMonitor")
    if not issubclass(kind, monitor) or stats is False or find_spec("psutil"):
        return []
    why, hint = "needs the package psutil", f"pip install psutil, or set {key}.cpu_stats=false."
    return [Fault("not-installed", key, kind.__name__, why, hint)]

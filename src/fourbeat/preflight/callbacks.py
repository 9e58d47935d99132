"""Which callbacks are refused, alike in both loops, and why: ``docs/callbacks.md`` shows all."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import NamedTuple

from lightning.pytorch import Callback

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.sections import LeafSection
from fourbeat.config.signatures import class_of

_MODULE = "lightning.pytorch.callbacks"


class Refusal(NamedTuple):
    """Why a callback is refused.

    Attributes:
        target: The class.
        why: As the end of a sentence that begins with "it".
        hint: What to do instead.
    """

    target: str
    why: str
    hint: str


TRIALS = "trains on trial with all other callbacks put away, the loop among them"

REFUSED_CALLBACKS = (
    Refusal(
        f"{_MODULE}.BatchSizeFinder",
        f"{TRIALS}, for a batch size that the run's config would not know",
        "Try some: -m data.batch_size=32,64,128 trainer.max_steps=100.",
    ),
    Refusal(
        f"{_MODULE}.LearningRateFinder",
        f"{TRIALS}, for a learning rate that the run's config would not know",
        "Try some: -m optim.lr=1e-4,1e-3,1e-2 trainer.max_steps=100.",
    ),
    Refusal(
        f"{_MODULE}.OnExceptionCheckpoint",
        "starts a new run from the last file that it finds",
        "An exception saves the state anyway: resume=RUN.",
    ),
    Refusal(
        f"{_MODULE}.ModelPruning",
        "saves no masks: what it has pruned would grow again after a resume",
        "Prune the weights of a finished run with torch.nn.utils.prune.",
    ),
)

NEED_LOGGERS = ("DeviceStatsMonitor", "LearningRateMonitor")


def callback_faults(key: str, section: LeafSection, *, has_loggers: bool) -> list[Fault]:
    """Find whether a callback of the config is refused.

    Args:
        key: Where its leaf stands.
        section: The leaf; its target can be imported.
        has_loggers: Whether the run has any.
    """
    if (kind := class_of(section.target)) is None:
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
        Fault("not-supported", key, kind.__name__, f"is refused: it {each.why}", each.hint)
        for each in REFUSED_CALLBACKS
        if issubclass(kind, resolve_name(each.target))
    ]


def _missing_package(key: str, kind: type, stats: bool | None) -> list[Fault]:
    monitor = resolve_name(f"{_MODULE}.DeviceStatsMonitor")
    if not issubclass(kind, monitor) or stats is False or find_spec("psutil"):
        return []
    why, hint = "needs the package psutil", f"pip install psutil, or set {key}.cpu_stats=false."
    return [Fault("not-installed", key, kind.__name__, why, hint)]

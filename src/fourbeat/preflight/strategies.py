"""Which strategies of Lightning's can run a training here, and what cannot be saved with them."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import Strategy

from fourbeat.base.errors import Fault
from fourbeat.base.extras import is_installed
from fourbeat.config.schema import TrainConfig
from fourbeat.config.signatures import builds_another, signature_faults
from fourbeat.config.suggest import did_you_mean
from fourbeat.config.typed import format_value
from fourbeat.lightning.registered_strategies import registered_names, start_method_of

_KEY = "trainer.strategy"
# Of the other ways, processes branch off in the middle of the program, and what the callbacks there
# know of the run (the best state, why it ended) is lost with them.
OWN_PROGRAM = "popen"
# Packages that a strategy needs.
NEEDED = {"deepspeed": "deepspeed", "xla": "torch_xla", "tpu": "torch_xla"}
# Each process holds a share of weights and optimizer, which Lightning's checkpoint has not.
UNCAPTURED = ("deepspeed", "modelparallel")


def strategy_faults(cfg: TrainConfig) -> list[Fault]:
    """Find what is wrong with ``trainer.strategy``, without building it."""
    strategy = cfg.trainer.strategy
    if faults := _name_faults(strategy) if isinstance(strategy, str) else _leaf_faults(strategy):
        return faults
    words = cfg.trainer.strategy_name.lower()
    if _start_method(strategy) not in (None, OWN_PROGRAM):
        why = (
            "starts processes from which the best state, and how the run has ended, do not come "
            "back"
        )
        hint = "Use trainer.strategy=ddp."
        return [Fault("not-supported", _KEY, format_value(strategy), why, hint)]
    return [*_package_faults(words, strategy), *_capture_faults(cfg, words)]


def _name_faults(name: str) -> list[Fault]:
    names = ["auto", *registered_names()]
    if name in names:
        return []
    hint = did_you_mean(name, names, f"{_KEY}=", lists_all=False) or (
        f"Use e.g. {_KEY}=ddp, or a leaf: '{_KEY}={{_target_: CLASS}}'."
    )
    return [Fault("not-a-choice", _KEY, name, "is no strategy that Lightning knows", hint)]


def _leaf_faults(leaf: dict[str, Any]) -> list[Fault]:
    if faults := signature_faults(_KEY, leaf):
        return faults
    if builds_another(leaf["_target_"], Strategy):
        why = "must build a lightning.pytorch.strategies.Strategy"
        hint = "Use e.g. lightning.pytorch.strategies.DDPStrategy."
        return [Fault("wrong-type", f"{_KEY}._target_", leaf["_target_"], why, hint)]
    return []


def _start_method(strategy: str | dict[str, Any]) -> Any:
    if isinstance(strategy, str):
        return start_method_of(strategy)
    return strategy.get("start_method")


def _package_faults(words: str, strategy: str | dict[str, Any]) -> list[Fault]:
    missing = {p for word, p in NEEDED.items() if word in words and not is_installed(p)}
    why = "needs the package {}, which is not installed"
    hint = "Install it with `pip install {}`, or use trainer.strategy=ddp."
    shown = format_value(strategy)
    return [Fault("not-installed", _KEY, shown, why.format(p), hint.format(p)) for p in missing]


def _capture_faults(cfg: TrainConfig, words: str) -> list[Fault]:
    if cfg.callbacks.model_checkpoint is None or not any(name in words for name in UNCAPTURED):
        return []
    why = f"cannot save an exact state of what {_KEY}={cfg.trainer.strategy_name} has sharded"
    hint = (
        "Use callbacks.model_checkpoint=null, and Lightning's own: "
        "+callbacks.sharded._target_=lightning.pytorch.callbacks.ModelCheckpoint."
    )
    return [Fault("impossible-together", "callbacks.model_checkpoint", "", why, hint)]

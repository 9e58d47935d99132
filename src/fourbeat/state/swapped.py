"""Weights that a callback puts in the place of the trained ones while they are evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from fourbeat.base.console import log
from fourbeat.base.hooks import overrides_any
from fourbeat.lightning.torch_tensors import version_of
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.state.replaced import is_same

BEFORE = {
    split: tuple(f"on_{split}_{when}" for when in ("start", "epoch_start", "batch_start"))
    for split in ("validation", "test")
}
"""The hooks in which a callback can do it before a split is measured."""


def describe_swap(who: str) -> str:
    """Say what follows for a run whose callbacks replace the weights in evaluation.

    Args:
        who: Their names.
    """
    return (
        f"{who} replaces the weights in evaluation: eval.py and export.py use the trained ones, "
        "which the states hold. Lightning's EMAWeightAveraging saves its averages in their place"
    )


class SwappedWeights(Callback):
    """Finds whether others were validated or tested than the states hold, as by an EMA of yours.

    The first of the callbacks: it is asked before any other one has replaced the weights, and again
    before they are put back. Averages that the states hold, as those of EMAWeightAveraging, are no
    others. It costs nothing where no callback has a hook at the start of an evaluation.

    Attributes:
        who: The callbacks that may have done it; empty: nobody has.
    """

    def __init__(self) -> None:
        self.who = ""
        self._before: list[tuple[int, ...]] | None = None
        self._validated: dict[str, Tensor] = {}
        self._step = 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which tensors the weights are, and how often they were changed."""
        self._before = None
        if not self.who and not trainer.sanity_checking and _suspects(trainer):
            self._before = _versions(pl_module)

    on_test_start = on_validation_start

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights if they are others, until a state of this step is captured."""
        self._validated, self._step = {}, trainer.global_step
        if self._is_changed(pl_module) and trainer.state.fn == "fit":
            self._validated = {n: p.detach().clone() for n, p in pl_module.named_parameters()}

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say it: what is tested was loaded from a state."""
        if self._is_changed(pl_module):
            self._say(trainer)

    def compare(self, trainer: Trainer, weights: Mapping[str, Any]) -> None:
        """Compare what was validated with a state that has been captured since, and say it.

        Args:
            trainer: Whose state it is.
            weights: That it holds.
        """
        validated, self._validated = self._validated, {}
        if trainer.global_step == self._step and not all(
            is_same(weights[name], own) for name, own in validated.items() if name in weights
        ):
            self._say(trainer)

    def _is_changed(self, module: LightningModule) -> bool:
        before, self._before = self._before, None
        return before is not None and before != _versions(module)

    def _say(self, trainer: Trainer) -> None:
        self.who = _suspects(trainer)
        if trainer.is_global_zero:
            log.warning("%s.", describe_swap(self.who))


def _suspects(trainer: Trainer) -> str:
    hooks = BEFORE["test" if trainer.testing else "validation"]
    others = (c for c in callbacks_of(trainer) if not type(c).__module__.startswith("fourbeat."))
    return ", ".join(type(c).__name__ for c in others if overrides_any(c, Callback, hooks))


def _versions(module: LightningModule) -> list[tuple[int, ...]]:
    # A tensor that was made in inference mode counts no changes.
    return [
        (id(p), p.data_ptr(), 0 if p.is_inference() else version_of(p)) for p in module.parameters()
    ]

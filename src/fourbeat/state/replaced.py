"""Weights that a callback puts in the place of the trained ones when the training is over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from fourbeat.base.console import log
from fourbeat.base.hooks import overrides_any
from fourbeat.run.folder import FINAL_WEIGHTS
from fourbeat.state.file import copy_to_cpu, read_state, write_state
from fourbeat.state.training_state import TrainingState


class ReplacedWeights:
    """Finds whether the weights at the very end are others than those of the last state.

    StochasticWeightAveraging puts its averages there, which no state holds; averages that the
    states hold already, as those of EMAWeightAveraging, replace nothing.

    Attributes:
        found: Whether they are others.
    """

    def __init__(self) -> None:
        self.found = False
        self._saved: dict[str, Any] = {}

    def remember(self, callbacks: Iterable[Callback], state: TrainingState) -> TrainingState:
        """Remember the weights of the last state, if anybody may replace them.

        Args:
            callbacks: The Trainer's; without them, a copy would be made for nothing.
            state: It.

        Returns:
            The state; a copy if they may be replaced, of all of it: EMAWeightAveraging has the
            trained weights in a place of their own in it, and its averages in theirs.
        """
        if not may_replace(callbacks):
            return state
        state = TrainingState.of(copy_to_cpu(state.checkpoint()))
        self._saved = {n: w for n, w in state.weights.items() if isinstance(w, Tensor)}
        return state

    def look(self, module: LightningModule, folder: Path | None) -> None:
        """Compare, and save the weights if they are others.

        Args:
            module: With the weights at the end.
            folder: Where checkpoints are; None: nothing is saved.
        """
        saved, self._saved = self._saved, {}
        now = module.state_dict()
        self.found = not all(
            is_same(now[name], w.to(now[name].device)) for name, w in saved.items() if name in now
        )
        if self.found and folder is not None:
            write_state(folder / FINAL_WEIGHTS, {"state_dict": now})
            log.info(
                "a callback has replaced the weights at the end of the training: they are "
                "validated and tested instead of the best weights, and saved as checkpoints/%s",
                FINAL_WEIGHTS,
            )

    def load(self, module: LightningModule, folder: Path) -> None:
        """Load what was saved at the end of a training that is over, if anything was.

        Args:
            module: Gets the weights.
            folder: Where checkpoints are.
        """
        if (path := folder / FINAL_WEIGHTS).exists():
            module.load_state_dict(read_state(path)["state_dict"], strict=module.strict_loading)
            self.found = True

    def remove(self, folder: Path) -> None:
        """Remove what was saved at an earlier end of a training that continues."""
        (folder / FINAL_WEIGHTS).unlink(missing_ok=True)


def may_replace(callbacks: Iterable[Callback]) -> bool:
    """Return whether any callback may put other weights in place at the end of a training."""
    # fourbeat's own end with the weights that were saved; a module's hook comes after `look`.
    others = (c for c in callbacks if not type(c).__module__.startswith("fourbeat."))
    return any(overrides_any(each, Callback, ["on_train_end"]) for each in others)


def is_same(one: Tensor, other: Tensor) -> bool:
    """Return whether two weights are equal, or cannot be compared."""
    # A share of a weight, as FSDP has them, cannot be compared.
    if type(one) is not type(other) or one.shape != other.shape:
        return True
    return torch.equal(one, other)

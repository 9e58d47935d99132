"""Optimizers that train other weights than they evaluate, such as schedule-free ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

TRAINED = "trained_weights"
"""Under which a state holds what is trained on, beside what is evaluated."""


def has_modes(optimizer: object) -> bool:
    """Return whether an optimizer, or a class of them, has ``train()`` and ``eval()``."""
    return callable(getattr(optimizer, "train", None)) and callable(
        getattr(optimizer, "eval", None)
    )


class OptimizerModes(Callback):
    """Calls ``train()`` and ``eval()`` of the optimizers that have them, where they have to be.

    Validated, saved and tested are the weights that ``eval()`` makes. A state holds those that are
    trained on as well, for neither can be computed from the other to the last digit.
    """

    def __init__(self) -> None:
        self._trains = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train."""
        self._set(trainer, trains=True)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate."""
        if self._trains:
            self._call(trainer, "eval")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train again."""
        if self._trains:
            self._call(trainer, "train")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the weights that are to be evaluated."""
        self._set(trainer, trains=False)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save both."""
        if self._trains:
            trained = _copied(checkpoint["state_dict"])
            self._call(trainer, "eval")
            checkpoint["state_dict"] = _copied(pl_module.state_dict())
            self._call(trainer, "train")
            pl_module.load_state_dict(trained, strict=pl_module.strict_loading)
            checkpoint[TRAINED] = trained

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Resume with those that are trained on."""
        if trainer.state.fn == "fit" and TRAINED in checkpoint:
            pl_module.load_state_dict(checkpoint[TRAINED], strict=pl_module.strict_loading)

    def _set(self, trainer: Trainer, *, trains: bool) -> None:
        self._trains = trains and any(map(has_modes, trainer.optimizers))
        self._call(trainer, "train" if trains else "eval")

    def _call(self, trainer: Trainer, mode: str) -> None:
        for optimizer in trainer.optimizers:
            if has_modes(optimizer):
                getattr(optimizer, mode)()


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: w.clone() if isinstance(w, Tensor) else w for name, w in weights.items()}

"""What ends a run that monitors a metric which nobody measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lightning.pytorch import Callback, LightningModule, Trainer

from fourbeat.base.console import log
from fourbeat.base.errors import Fault, raise_faults


class MonitorCheck(Callback):
    """Ends a run when a monitored metric has not been logged by the time that it should be there.

    One of the validation after the first validation; others after the first epoch that has one, or
    of which it is known that they are of the training.

    Args:
        monitors: The metrics, by the keys of the config that name them.
        optional: A metric that need not be logged: it is said, once.
    """

    def __init__(self, monitors: Mapping[str, str], optional: str = "") -> None:
        self._monitors, self._optional = dict(monitors), optional
        self._has_validated = self._has_trained = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check those of the validation."""
        if not trainer.sanity_checking and not self._has_validated:
            self._has_validated = True
            self._check(trainer, [k for k, m in self._monitors.items() if m.startswith("val/")])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the others: what is logged at the end of an epoch is there by now."""
        if self._has_trained:
            self._check_all(trainer)
        self._has_trained = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the others, in a run of one epoch."""
        self._check_all(trainer)

    def _check_all(self, trainer: Trainer) -> None:
        validates = self._has_validated
        names = self._monitors.items()
        self._check(trainer, [k for k, m in names if validates or m.startswith("train/")])

    def _check(self, trainer: Trainer, keys: Iterable[str]) -> None:
        logged = trainer.callback_metrics
        hint = f"Logged were: {', '.join(sorted(logged)) or 'none'}."
        why = "has not been logged by anything"
        absent = {k: m for k in keys if (m := self._monitors.pop(k)) not in logged}
        waived = [key for key, metric in absent.items() if metric == self._optional]
        if waived and trainer.is_global_zero:
            log.info(
                "%s is not logged: the last state is the best, and nothing stops early. Set %s. %s",
                *(self._optional, " and ".join(waived), hint),
            )
        raise_faults(
            Fault("not-measured", key, metric, why, hint)
            for key, metric in absent.items()
            if key not in waived
        )

"""What ends a training before its horizon; nothing does before ``min_epochs`` and ``min_steps``.

Lightning's own callbacks set ``trainer.should_stop`` once and for all: a run whose metric did not
improve for a while before ``min_epochs``, and does since, ends there all the same (its issue
19966). And what is saved at a signal, or between two batches, is not saved while the flag is set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason


def has_minimum(trainer: Trainer) -> bool:
    """Return whether the training has done its ``min_epochs`` and ``min_steps``.

    Args:
        trainer: In an epoch; its last batch counts as its end.
    """
    num_epochs = trainer.current_epoch + bool(trainer.is_last_batch)
    return num_epochs >= (trainer.min_epochs or 0) and trainer.global_step >= (
        trainer.min_steps or 0
    )


@contextmanager
def minimum_first(trainer: Trainer) -> Iterator[None]:
    """Take back a stop that is asked for within this block before the minimum is reached."""
    was = trainer.should_stop
    yield
    if trainer.should_stop and not was and not has_minimum(trainer):
        trainer.should_stop = False


class StopWithoutImprovement(EarlyStopping):
    """Lightning's EarlyStopping, which waits for ``min_epochs`` and ``min_steps``.

    Each check before them counts, but only a check after them ends the run: an improvement in
    between starts the count again.
    """

    @property
    def state_key(self) -> str:
        """Lightning's, so that checkpoints of either can be read by the other."""
        return super().state_key.replace(type(self).__qualname__, EarlyStopping.__qualname__)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the metric, if it is measured by then."""
        with minimum_first(trainer):
            super().on_train_epoch_end(trainer, pl_module)
        self._forget_unless(trainer.should_stop)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the metric, if a validation is due more often than once an epoch."""
        with minimum_first(trainer):
            super().on_validation_end(trainer, pl_module)
        self._forget_unless(trainer.should_stop)

    def _forget_unless(self, stops: bool) -> None:
        if not stops:  # else the manifest would give it as the reason why the run has ended
            self.stopped_epoch, self.stopping_reason_message = 0, None
            self.stopping_reason = EarlyStoppingReason.NOT_STOPPED


class TimeLimit(Timer):
    """Ends a training after a time, counted over all of its resumes.

    Args:
        limit: ``DD:HH:MM:SS``, or numbers of units of time.

    Attributes:
        has_stopped: Whether it has ended the training.
    """

    def __init__(self, limit: str | dict[Any, int]) -> None:
        super().__init__(limit, verbose=False)
        self.has_stopped = False

    def on_fit_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Read the clock: a run may be resumed whose time is over."""
        with self._noting(trainer):
            super().on_fit_start(trainer, *args, **kwargs)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Read the clock."""
        with self._noting(trainer):
            super().on_train_batch_end(trainer, *args, **kwargs)

    @contextmanager
    def _noting(self, trainer: Trainer) -> Iterator[None]:
        was = trainer.should_stop
        with minimum_first(trainer):
            yield
        self.has_stopped |= trainer.should_stop and not was

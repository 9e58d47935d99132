"""Lightning's decision when to validate within an epoch, replaced by one in mini-batches."""

from __future__ import annotations

from collections.abc import Callable

from lightning.pytorch import Trainer


def decide_validations(trainer: Trainer, is_due: Callable[[], bool]) -> None:
    """Let a Trainer validate where a function says so, instead of counting what a loader yields.

    Lightning asks at the end of each training batch. It still validates when the training is about
    to stop early, and never in an epoch that ``check_val_every_n_epoch`` or ``limit_val_batches``
    excludes. It asks too before the first batch after a restart, whether a validation was cut
    short: the function must say no then, where states are captured after what was due.

    Args:
        trainer: Whose training is about to begin.
        is_due: Whether the validation runs after the batches that are done.
    """
    epochs, loop = trainer.fit_loop, trainer.fit_loop.epoch_loop

    def should_check(data_fetcher: object) -> bool:
        if not loop._should_check_val_epoch():
            return False
        return (trainer.should_stop and epochs._can_stop_early) or is_due()

    loop._should_check_val_fx = should_check  # type: ignore[method-assign]

"""Lightning's evaluations: when they run within an epoch, and what is done around their batches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

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


def watch_evaluations(
    trainer: Trainer,
    around: Callable[[], AbstractContextManager[None]],
    before_batch: Callable[[int, int], None],
) -> None:
    """Call back where no hook is called: replaces methods of the loops that evaluate.

    Args:
        trainer: Whose loops they are. Watched before, by whomever, they are no longer:
            ``watch_loops`` comes afterwards.
        around: Entered before anything of an evaluation, and left after its last hook.
        before_batch: Called before a batch is transferred, with its index and that of its loader.
    """
    loops = (trainer.fit_loop.epoch_loop.val_loop, trainer.validate_loop, trainer.test_loop)
    for loop in loops:
        _watch_evaluation(loop, around, before_batch)


def _watch_evaluation(loop: Any, around: Any, before_batch: Callable[[int, int], None]) -> None:
    for name in ("run", "_evaluation_step"):
        vars(loop).pop(name, None)
    run, play_batch = loop.run, loop._evaluation_step

    def run_within() -> Any:
        with around():
            return run()

    def on_batch(batch: Any, batch_idx: int, dataloader_idx: int, iterator: Any) -> None:
        before_batch(batch_idx, dataloader_idx)
        play_batch(batch, batch_idx, dataloader_idx, iterator)

    loop.run, loop._evaluation_step = run_within, on_batch

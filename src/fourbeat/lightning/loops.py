"""Lightning's loops: the ends of their iterations, and their counters in a checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Trainer

from fourbeat.lightning.stops import is_end_of_data

WRAPPED = ("on_advance_start", "reset", "advance", "on_advance_end", "on_run_end")


def watch_loops(
    trainer: Trainer,
    begin: Callable[[], None],
    after_batch: Callable[[], None],
    after_epoch: Callable[[], None],
    before_end: Callable[[], None] = lambda: None,
    before_validation: Callable[[], None] = lambda: None,
) -> None:
    """Call back where no hook is called: replaces methods of the loops, which end an iteration.

    Args:
        trainer: Whose loops they are.
        begin: Called once, before everything else of the first epoch.
        after_batch: Called when everything about a batch is done, a validation that was due
            included; not after an epoch's last one.
        after_epoch: Called when everything about an epoch is done.
        before_end: Called when the training has ended, before any callback's ``on_train_end``: one
            that averages weights puts them in the place of the trained ones there.
        before_validation: Called when everything about a batch is done but the validation that is
            due, before any hook of it: nothing has been drawn yet, and no weights are replaced.
    """
    unwatch_loops(trainer)
    epochs, batches = trainer.fit_loop, trainer.fit_loop.epoch_loop
    begin_epoch, end_epoch = epochs.on_advance_start, epochs.on_advance_end
    end_batch, end_training = batches.on_advance_end, epochs.on_run_end

    def on_epoch_start() -> None:
        vars(epochs).pop("on_advance_start")
        begin()
        begin_epoch()

    def announce_validation() -> None:
        if not trainer.sanity_checking:
            trainer.training = True  # as at the other moments: it says whose measurements are whose
            before_validation()
            trainer.validating = True

    def on_batch_end(data_fetcher: Any) -> None:
        end_batch(data_fetcher)
        if not batches._num_ready_batches_reached():
            after_batch()

    def on_epoch_end() -> None:
        end_epoch()
        after_epoch()

    def on_end() -> None:
        before_end()
        end_training()

    epochs.on_run_end = on_end  # type: ignore[method-assign]
    batches.val_loop.run = _Announced(batches.val_loop, announce_validation)  # type: ignore[method-assign]
    epochs.on_advance_start = on_epoch_start  # type: ignore[method-assign]
    batches.advance = _naming_stop_iteration(batches.advance)  # type: ignore[method-assign]
    batches.on_advance_end = on_batch_end  # type: ignore[method-assign]
    epochs.on_advance_end = on_epoch_end  # type: ignore[method-assign]


def _naming_stop_iteration(play_batch: Callable[[Any], None]) -> Any:
    """Let a batch raise an error where a hook raises StopIteration: it ends the epoch otherwise."""

    def on_batch(data_fetcher: Any) -> None:
        try:
            play_batch(data_fetcher)
        except StopIteration as error:
            if is_end_of_data(error):
                raise
            raise RuntimeError(
                f"a hook of the training has raised StopIteration({error}), which is not how a "
                "training is stopped: set trainer.should_stop"
            ) from error

    return on_batch


def unwatch_loops(trainer: Trainer) -> None:
    """Undo :func:`watch_loops`."""
    for loop in (trainer.fit_loop, trainer.fit_loop.epoch_loop):
        for name in WRAPPED:
            vars(loop).pop(name, None)
    announced = vars(trainer.fit_loop.epoch_loop.val_loop).get("run")
    if isinstance(announced, _Announced):
        announced.undo()


class _Announced:
    """A loop's ``run`` that is announced, around what stood in its place: ``watch_evaluations``'s.

    Args:
        loop: Whose ``run`` it is to be.
        announce: Called before it.
    """

    def __init__(self, loop: Any, announce: Callable[[], None]) -> None:
        self._loop, self._announce, self._run = loop, announce, loop.run
        self._replaced = vars(loop).get("run")

    def __call__(self) -> Any:
        self._announce()
        return self._run()

    def undo(self) -> None:
        """Put back what stood in its place."""
        del self._loop.run
        if self._replaced is not None:
            self._loop.run = self._replaced


def count_epochs_done(loops: dict[str, Any]) -> int:
    """Return how many epochs the loops of a checkpoint have done, by Lightning's own count."""
    return int(loops["fit_loop"]["epoch_progress"]["current"]["processed"])


def place_between_epochs(loops: dict[str, Any]) -> None:
    """Make the loops of a checkpoint those of an epoch that is over, and of none begun.

    Args:
        loops: A checkpoint's; changed.
    """
    progress = loops["fit_loop"]["epoch_progress"]
    for counts in (progress["total"], progress["current"]):
        counts["ready"] = counts["started"] = counts["completed"] = counts["processed"]


def place_within_epoch(loops: dict[str, Any], num_done: int) -> None:
    """Set how many of the epoch's batches the loops of a checkpoint have done.

    Args:
        loops: A checkpoint's; changed.
        num_done: In batches as Lightning counts them, which are executions of ours.
    """
    progress, names = loops["fit_loop"]["epoch_loop.batch_progress"], ("started", "completed")
    progress["current"].update(dict.fromkeys((*names, "ready", "processed"), num_done))
    # A batch at whose start a hook ended the epoch is in one count and not in another, by which
    # Lightning would take it that the state lies within a batch, and log one step later.
    progress["total"].update(dict.fromkeys(names, progress["total"]["ready"]))


def count_steps_for_both(loops: dict[str, Any]) -> None:
    """Have the loops of a checkpoint the same count of steps in both kinds of optimization.

    Lightning counts those of automatic and of manual optimization apart. Who reads the checkpoint
    may play the other kind, and would begin at step 0.

    Args:
        loops: A checkpoint's; changed.
    """
    own = loops["fit_loop"]
    automatic = own["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    manual = own["epoch_loop.manual_optimization.optim_step_progress"]
    done = max(automatic["total"], manual["total"], key=lambda counts: counts["completed"])
    automatic["total"], manual["total"] = dict(done), dict(done)


def begin_next_epoch(trainer: Trainer) -> None:
    """Tell loops restored between epochs that nothing is restarted: an epoch begins as always."""
    loop = trainer.fit_loop
    for each in (loop, loop.epoch_loop, loop.epoch_loop.val_loop):
        each.on_iteration_done()


def continue_epoch(trainer: Trainer, *, finds_place: bool) -> None:
    """Tell the outer loop that it is not restarted; the inner loop resets its own flag.

    Lightning keeps it set through the whole epoch, and then skips a plateau's scheduler. And the
    inner loop, asked before its first batch whether a validation was cut short, says no: a state is
    captured after what was due. Else Lightning ends that batch a second time.

    Args:
        trainer: About to begin the epoch.
        finds_place: Whether the data continues where the state was saved. Lightning, which cannot
            see it where a loader has no state of its own, then does not warn of the opposite.
    """
    trainer.fit_loop._restarting = False
    batches = trainer.fit_loop.epoch_loop
    reset = batches.reset

    def reset_quietly() -> None:
        del batches.reset
        with warnings.catch_warnings():
            text = "You're resuming from a checkpoint that ended before"
            warnings.filterwarnings("ignore", text, PossibleUserWarning)
            reset()

    is_due = batches._should_check_val_fx

    def is_due_afterwards(data_fetcher: Any) -> bool:
        batches._should_check_val_fx = is_due  # type: ignore[method-assign]
        return not batches.restarting and is_due(data_fetcher)

    if finds_place:
        batches.reset = reset_quietly  # type: ignore[method-assign]
    batches._should_check_val_fx = is_due_afterwards  # type: ignore[method-assign]


def begin_with_validation(trainer: Trainer) -> None:
    """Let loops restored before a validation run it first, instead of the next batch."""
    loop = trainer.fit_loop.epoch_loop
    play_batch, is_due = loop.advance, loop._should_check_val_fx

    def play_none(data_fetcher: Any) -> None:
        loop.advance = play_batch  # type: ignore[method-assign]

    def is_due_now(data_fetcher: Any) -> bool:
        loop._should_check_val_fx = is_due  # type: ignore[method-assign]
        return True

    loop.advance = play_none  # type: ignore[method-assign]
    loop._should_check_val_fx = is_due_now  # type: ignore[method-assign]
    loop.val_loop.on_iteration_done()  # it begins, and is not restarted


def forget_sigterm(trainer: Trainer) -> None:
    """Clear the flag with which Lightning's own handler ends a run after any batch."""
    trainer._signal_connector.received_sigterm = False

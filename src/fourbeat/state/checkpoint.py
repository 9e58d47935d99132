"""Saving a training's state: when, which, and never in the middle of a step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer

from fourbeat.base.registry import StateRegistry
from fourbeat.data import count_batches_done
from fourbeat.lightning.loops import unwatch_loops, watch_loops
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.state.capture import build_registry, capture, continue_from, is_finite, position_now
from fourbeat.state.file import clear_temporary_files
from fourbeat.state.moments import Pauser, agree, ends_early, says_it_saves_between_epochs
from fourbeat.state.ranking import Judge, Ranking
from fourbeat.state.replaced import may_replace
from fourbeat.state.saved_states import SavedStates
from fourbeat.state.stop import StopRequest
from fourbeat.state.swapped import SwappedWeights
from fourbeat.state.time_share import TimeShare
from fourbeat.state.training_state import Moment, TrainingState
from fourbeat.state.unrestored import NotLooking, UnrestoredState
from fourbeat.state.validation_stops import ValidationStops


class StateCheckpoint(SavedStates):
    """Saves the last states, from which a run is resumed, and the best states.

    Every file is an exact restart point: a run that is resumed from it ends bitwise identical to
    one that was never interrupted. States are captured between batches and between epochs only,
    also when a signal asks the run to stop; of one stopped within a validation, before it.

    In a project of your own: ``StateCheckpoint("runs/one")`` among the callbacks, data that
    :func:`fourbeat.adopt` has adopted, and ``trainer.fit(..., ckpt_path=states.find_last())``.

    Args:
        folder: Gets ``checkpoints`` and ``snapshots``; None: nothing is saved, but signals are
            obeyed.
        save_last: How many of the last states are saved, one of which serves if a newer is damaged.
        save_top_k: How many of the best states are saved.
        save_snapshots: How many earlier states are saved for replays.
        monitor: The metric that says which state is best, judged at each validation, or, where it
            is a metric of the training, at the end of each epoch; empty: the latest is the best.
        or_latest: Without such a metric, the latest state is the best.
        mode: Whether the best value of the metric is the smallest or the largest.
        every_n_train_steps: Optimizer steps between two saves within an epoch; None: only by time.
        interval_s: Seconds between two saves within an epoch.
        max_time_share: The fraction of the run's time that saves may take, 0 to 1. The state at the
            end of the training, and at a signal, is saved in any case.
        max_disk_gib: What all saved states together may take of the disk, in GiB; fewer snapshots,
            then fewer last ones, are kept where they would take more.

    Attributes:
        registry: What is captured besides Lightning's checkpoint; built for each training.
        pauser: Pauses before a step, with the state saved; None: nothing pauses.
        stop: The signals that were received.
        ranking: The best states so far.
        swapped: Whether one does so in evaluation; it has to be the first of the callbacks.
        names_unrestored: Whether it is said what a resume will not restore.
    """

    names_unrestored = True

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        save_last: int = 2,
        save_top_k: int = 1,
        save_snapshots: int = 8,
        monitor: str = "",
        or_latest: bool = False,
        mode: Literal["min", "max"] = "min",
        every_n_train_steps: int | None = None,
        interval_s: float = 60.0,
        max_time_share: float = 0.02,
        max_disk_gib: float = 50.0,
    ) -> None:
        ranking = Ranking(mode, save_top_k, monitor)
        super().__init__(folder, save_last, Judge(monitor, ranking, or_latest=or_latest))
        self.every_n_train_steps = every_n_train_steps
        self._writer = self.build_writer(save_snapshots, max_disk_gib)
        self.registry = StateRegistry()
        self.pauser: Pauser | None = None
        self.stop = StopRequest()
        self._in_validation = ValidationStops(self.stop, self._writer)
        self._time = TimeShare(max_time_share, interval_s)
        self._batches_done, self._only_between_epochs = 0, False
        self.swapped, self._unrestored = SwappedWeights(), NotLooking()
        self._final: TrainingState | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Attach to the training's loops, and remove the temporary files of a killed save."""
        if stage == "fit":
            self._trainer, self._module = trainer, pl_module
            moments = (self._after_batch, self._after_epoch, self._before_end)
            watch_loops(trainer, self._begin, *moments, self._before_validation)
            if self.files and trainer.is_global_zero:
                clear_temporary_files(self.files.folder)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Detach from the training's loops."""
        unwatch_loops(trainer)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals from before the first batch on, too."""
        self.stop.replace_handlers(self._trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the step whose weights were validated."""
        if not trainer.sanity_checking:
            self.judge.note_validation(trainer.global_step)
            self._in_validation.end()

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Stop within a validation, if a signal asked for it."""
        self._in_validation.after_batch(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note how many mini-batches of the epoch are done."""
        self._batches_done = count_batches_done(batch, batch_idx)

    def on_test_batch_end(self, *_: Any) -> None:
        """Stop within a test, if a signal asked for it."""
        self.stop.obey()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last state, after what replaces its weights: its resume calls no such hook."""
        files = self.files if trainer.is_global_zero else None
        self.replaced.look(pl_module, files.folder if files else None)
        if self._final is not None:
            self._write(self._final)
            self._final = None
        self.stop.obey()  # only the test is lacking now

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save the best state, and the weights as they are: those before the step that failed."""
        self._unrestored.stop_reading()
        if self._writer is not None and trainer.is_global_zero:
            self._writer.write_after_exception(trainer, pl_module, exception)

    def on_moment(self, moment: Moment) -> None:
        """Do nothing, before it is decided whether to save or to stop here: to be overridden."""

    def capture(
        self, moment: Moment, *, is_over: bool = False, durable: bool = False
    ) -> TrainingState:
        """Return the state of the training; all processes call it together.

        Args:
            moment: At which of its moments.
            is_over: Whether this is the end of the training.
            durable: Whether it is about to be written: then the logs are synced to disk first.

        Returns:
            Tensors, which are not copied, and plain data.
        """
        if durable:
            self._unrestored.before_write()
        self.registry.flush()
        batch = self._batches_done if moment != "between epochs" else 0
        position = position_now(self._trainer, moment, batch, is_over=is_over)
        folder = self.folder or Path(self._trainer.default_root_dir)
        state = capture(self._trainer, self.registry, position, folder, durable=durable)
        self.swapped.compare(self._trainer, state.weights)
        return state

    def _begin(self) -> None:
        trainer, is_resumed = self._trainer, self._read is not None
        self.registry = build_registry(trainer, self._module)
        if self._read is not None:
            self._batches_done = self._read.position.batch
            continue_from(trainer, self.registry, self._read, quiet=self.files is None)
        elif trainer.global_step == 0:
            self.refuse_another()
        self._read, self._is_rewound = None, False
        if self.files and trainer.is_global_zero:
            self.replaced.remove(self.files.folder)
        if self._writer is not None:
            self._writer.limit_disk(trainer, self._module)
        if self._writer and self.names_unrestored and trainer.is_global_zero:
            self._unrestored = UnrestoredState(trainer, self._module)
        self._only_between_epochs = says_it_saves_between_epochs(trainer)
        self.stop.replace_handlers(self._trainer)
        self._last_step = trainer.global_step
        self._time.start()
        stop, _ = self._agreed("between epochs", is_due=False)
        if stop:
            if not is_resumed:
                self._save("between epochs")
            self.stop.obey()
        self._offer_pause("between epochs")

    def _after_batch(self) -> None:
        trainer, step = self._trainer, self._trainer.global_step
        self._unrestored.after_batch()
        if self._are_pending or ends_early(trainer):
            return
        if self._only_between_epochs:
            self._agreed("within an epoch", is_due=False)
            self.stop.obey()
            return
        improved = self.files is not None and self.judge.within_epoch(trainer)
        every, before = self.every_n_train_steps or sys.maxsize, self._last_step
        # Not by the remainder: a batch may have been of several steps.
        is_due = improved or step // every > before // every or self._time.interval_is_over
        self._last_step, is_due = step, is_due and self._may_save(improved=improved)
        stop, is_due = self._agreed("within an epoch", is_due=is_due)
        if stop or is_due:
            self._save("within an epoch", improved=improved)
        elif improved:
            self._hold_best("within an epoch")
        if stop:  # a signal that has come since is obeyed at the next moment, with a state saved
            self.stop.obey()
        self._offer_pause("within an epoch")

    def _before_validation(self) -> None:
        trainer = self._trainer
        can_resume = trainer.is_last_batch or not self._are_pending
        can_resume = can_resume and not (self._only_between_epochs or ends_early(trainer))
        can_resume = can_resume and is_finite(self._module)
        stops, can_write = self._in_validation, self._time.allows_a_save
        if stops.begin(trainer, can_resume=can_resume, can_write=can_write):
            if stops.holds_state:
                stops.hold(trainer, self.capture("before a validation"))
            else:
                self._save("before a validation")

    def _after_epoch(self) -> None:
        trainer = self._trainer
        self._unrestored.after_epoch()
        improved = self.files is not None and self.judge.end_of_epoch(trainer)
        is_over = ends_early(trainer) or trainer.current_epoch == trainer.max_epochs
        stop, is_due = self._agreed("between epochs", is_due=self._may_save(improved=improved))
        # From a state that is over, no resume calls the `on_train_end` that is still to come.
        writes = (stop or is_due) and not (is_over and may_replace(callbacks_of(trainer)))
        if improved and not writes:
            self._hold_best("between epochs")
        elif writes and (improved or not is_over):
            self._save("between epochs", improved=improved)
        if stop and not is_over:
            self.stop.obey()
        if not is_over:
            self._offer_pause("between epochs")

    def _before_end(self) -> None:
        if self._can_write():
            with self._time.spent():
                state = self.capture("between epochs", is_over=True, durable=True)
                self._final = self.replaced.remember(callbacks_of(self._trainer), state)

    @property
    def _are_pending(self) -> bool:
        """Whether gradients are being accumulated, which no state holds."""
        return self._batches_done % self.registry.micro_batches_per_step() > 0

    def _offer_pause(self, moment: Moment) -> None:
        step = self._trainer.global_step
        if self.pauser is not None and self.pauser.is_due(step):
            self._save(moment)
            self.pauser.pause(step)

    def _may_save(self, *, improved: bool) -> bool:
        """Whether there is time for a save, or a best state too large to be held in memory."""
        is_large = improved and self._writer is not None and not self._writer.holds_best
        return is_large or self._time.allows_a_save

    def _hold_best(self, moment: Moment) -> None:
        state, writer = self.capture(moment), self._writer
        if writer is not None and self._trainer.is_global_zero:
            writer.hold_best(state)

    def _save(self, moment: Moment, *, improved: bool = False) -> None:
        if self._can_write():
            with self._time.spent():
                self._write(self.capture(moment, durable=True), improved=improved)

    def _can_write(self) -> bool:
        if self._writer is None or is_finite(self._module):
            return self._writer is not None
        self._writer.refuse_not_finite(self._trainer)
        return False

    def _write(self, state: TrainingState, *, improved: bool = False) -> None:
        if self._writer is not None and self._trainer.is_global_zero:
            self._writer.write(state, improved=improved)
        self._trainer.strategy.barrier("state saved")

    def _agreed(self, moment: Moment, *, is_due: bool) -> tuple[bool, bool]:
        """Decide together with the other processes: whether to stop, and whether to save."""
        self.on_moment(moment)
        self.stop.signum, is_due = agree(self._trainer, self.stop.signum, is_due=is_due)
        return bool(self.stop), is_due

"""Saving a training's state: when, which, and never in the middle of a step."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from fourbeat.base.console import log
from fourbeat.base.errors import RunError
from fourbeat.data import count_batches_done
from fourbeat.state.capture import (
    Moment,
    Position,
    capture,
    continue_from,
    flush_buffers,
    is_finite,
    set_position,
    show_latest,
)
from fourbeat.state.checkpoint_files import CheckpointFiles, StateWriter
from fourbeat.state.file import clear_temporary_files, write_state
from fourbeat.state.log_position import read_log_position
from fourbeat.state.moments import Moments, Pauser
from fourbeat.state.ranking import RankedState, Ranking, select_metrics
from fourbeat.state.snapshots import Snapshots
from fourbeat.state.stop import StopRequest
from fourbeat.state.time_share import TimeShare

EXCEPTION_FILE = "exception.ckpt"


class StateCheckpoint(Checkpoint):
    """Saves the last states, from which a run is resumed, and the best states.

    Every file is an exact restart point: a run that is resumed from it ends bitwise identical to
    one that was never interrupted. States are captured between batches and between epochs only,
    also when a signal asks the run to stop.

    Args:
        files: The checkpoint files; None: nothing is saved, but signals are obeyed.
        monitor: The metric that says which state is best, judged at the end of each epoch in which
            it was measured.
        mode: Whether the best value of the metric is the smallest or the largest.
        every_n_train_steps: Optimizer steps between two saves within an epoch; None: only by time.
        interval_s: Seconds between two saves within an epoch.
        max_time_share: The fraction of the run's time that saves may take, 0 to 1. The state at the
            end of the training, and at a signal, is saved in any case.
        snapshots: Keeps some of the saved states for replays; None: none are kept.

    Attributes:
        pauser: Pauses before a step, with the state saved; None: nothing pauses.
        stop: The signals that were received.
        ranking: The best states so far.
    """

    def __init__(
        self,
        files: CheckpointFiles | None = None,
        *,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        every_n_train_steps: int | None = None,
        interval_s: float = 60.0,
        max_time_share: float = 0.02,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.files, self.monitor = files, monitor
        self.every_n_train_steps = every_n_train_steps
        self.ranking = Ranking(mode, files.num_best if files else 1)
        self._writer = StateWriter(files, self.ranking, snapshots) if files else None
        self.pauser: Pauser | None = None
        self.stop = StopRequest()
        self._time = TimeShare(max_time_share, interval_s)
        self._moments = Moments(self._begin, self._after_batch, self._after_epoch)
        self._read: dict[str, Any] | None = None
        self._validated_at = self._batches_done = 0

    @property
    def best_path(self) -> Path | None:
        """The file of the best state; None while there is none."""
        best = self.ranking.best
        path = self.files.best(best) if self.files and best else None
        return path if path and path.exists() else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Attach to the training's loops, and remove the temporary files of a killed save."""
        if stage == "fit":
            self._trainer, self._module = trainer, pl_module
            self._moments.attach(trainer)
            if self.files and trainer.is_global_zero:
                clear_temporary_files(self.files.folder)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Detach from the training's loops."""
        if stage == "fit":
            self._moments.detach(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set the loops' counters to the position of the state that is resumed."""
        if trainer.state.fn == "fit":
            self._read = checkpoint
            set_position(trainer, checkpoint)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the latest metric values, which Lightning clears when a fit starts."""
        if self._read is not None:
            show_latest(trainer, self._read)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle signals from before the first batch on, too."""
        self._install_handlers()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the step whose weights were validated."""
        if not trainer.sanity_checking:
            self._validated_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note how many mini-batches of the epoch are done."""
        self._batches_done = count_batches_done(batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state; a run that is stopped from now on lacks only its test."""
        self._save("between epochs", is_over=True)
        self.stop.obey()

    def on_test_batch_end(self, *_: Any) -> None:
        """Stop between two batches of the test, if a signal asked for it."""
        self.stop.obey()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save the best state, and the weights as they are: those before the step that failed."""
        if self.files is None or self._writer is None or not trainer.is_global_zero:
            return
        if isinstance(exception, RunError) or not isinstance(exception, Exception):
            return
        with contextlib.suppress(RunError):  # the exception is what the user must see
            self._writer.write_held()
            if is_finite(pl_module):
                state = trainer._checkpoint_connector.dump_checkpoint(weights_only=True)
                write_state(self.files.folder / EXCEPTION_FILE, state)

    def state_dict(self) -> dict[str, Any]:
        """Return the best states so far, as plain data."""
        return {"ranking": self.ranking.state_dict(), "validated_at": self._validated_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.ranking.load_state_dict(state_dict["ranking"])
        if self.files is not None:
            # Later states have replaced some of the files, and are now undone.
            self.ranking.entries = [e for e in self.ranking.entries if self.files.best(e).exists()]
        self._validated_at = state_dict["validated_at"]

    def _install_handlers(self) -> None:
        """Replace Lightning's handlers, which end an evaluation, or the run after any batch."""
        self.stop.install()
        self._trainer._signal_connector.received_sigterm = False

    def _begin(self) -> None:
        trainer, is_resumed = self._trainer, self._read is not None
        if self._read is not None:
            continue_from(trainer, self._module, self._read)
            self._read = None
        self._install_handlers()
        self._time.start()
        stop, _ = self._agreed(is_due=False)
        if stop:
            if not is_resumed:
                self._save("between epochs")
            self.stop.obey()
        self._offer_pause("between epochs")

    def _after_batch(self) -> None:
        trainer, step = self._trainer, self._trainer.global_step
        accumulated = getattr(self._module, "accumulate_grad_batches", None)
        if self._batches_done % (accumulated or trainer.accumulate_grad_batches):
            return  # accumulated gradients are pending, which no state holds
        if trainer.should_stop or step == trainer.max_steps:
            return  # the epoch ends here
        every = self.every_n_train_steps
        is_due = self._time.interval_is_over or bool(every and step % every == 0)
        stop, is_due = self._agreed(is_due=is_due and self._time.allows_a_save)
        if stop or is_due:
            self._save("within an epoch")
        self.stop.obey()
        self._offer_pause("within an epoch")

    def _after_epoch(self) -> None:
        trainer = self._trainer
        improved = self._judge()
        is_over = trainer.should_stop or trainer.global_step == trainer.max_steps
        is_over = is_over or trainer.current_epoch == trainer.max_epochs
        stop, is_due = self._agreed(is_due=self._time.allows_a_save)
        if improved and not (stop or is_due):
            self._hold_best()
        elif (stop or is_due) and (improved or not is_over):
            self._save("between epochs", improved=improved)
        if not is_over:
            self.stop.obey()
            self._offer_pause("between epochs")

    def _offer_pause(self, moment: Moment) -> None:
        step = self._trainer.global_step
        if self.pauser is not None and self.pauser.is_due(step):
            self._save(moment)
            self.pauser.pause(step)

    def _judge(self) -> bool:
        """Return whether the epoch that has just ended gave one of the best states."""
        trainer, step = self._trainer, self._trainer.global_step
        validated = self._validated_at == step
        metrics = select_metrics(trainer.callback_metrics, self.monitor, validated=validated)
        if self.files is None or metrics is None:
            return False
        score = float(trainer.callback_metrics[self.monitor])
        return self.ranking.add(RankedState(score, trainer.current_epoch - 1, step, metrics))

    def _position(self, moment: Moment, *, is_over: bool = False) -> Position:
        batch = self._batches_done if moment == "within an epoch" else 0
        return Position.now(self._trainer, moment, batch, is_over=is_over)

    def _capture(self, position: Position, *, durable: bool) -> dict[str, Any]:
        trainer, logs = self._trainer, None
        flush_buffers(trainer, self._module)
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            logs = read_log_position(trainer.loggers, folder, durable=durable)
        return capture(trainer, self._module, position, logs)

    def _hold_best(self) -> None:
        state = self._capture(self._position("between epochs"), durable=False)
        if self._writer is not None and self._trainer.is_global_zero:
            self._writer.hold_best(state)

    def _save(self, moment: Moment, *, improved: bool = False, is_over: bool = False) -> None:
        if self._writer is None:
            return
        position = self._position(moment, is_over=is_over)
        if not is_finite(self._module):
            log.warning(
                "the weights are not finite at step %d: nothing was saved; earlier checkpoints "
                "are intact",
                position.step,
            )
            return
        with self._time.spent():
            state = self._capture(position, durable=True)
            if self._trainer.is_global_zero:
                self._writer.write(state, improved=improved)
            self._trainer.strategy.barrier("state saved")

    def _agreed(self, *, is_due: bool) -> tuple[bool, bool]:
        """Decide together with the other processes: whether to stop, and whether to save."""
        if self._trainer.world_size > 1:
            own = [self.stop.signum or 0, int(is_due and self._trainer.is_global_zero)]
            flags = torch.tensor(own, device=self._trainer.strategy.root_device)
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
            signum, due = flags.tolist()
            self.stop.signum, is_due = signum or None, bool(due)
        return bool(self.stop), is_due

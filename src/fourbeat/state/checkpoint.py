"""L3: saving a training's state: when, which, and never between two states."""

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
from fourbeat.recorder import RecorderCallback
from fourbeat.state.capture import (
    Moment,
    Position,
    capture,
    continue_from,
    is_finite,
    set_position,
    show_latest,
)
from fourbeat.state.file import clear_temporary_files, copy_to_cpu, encode, write_state
from fourbeat.state.kept_files import KeptFiles
from fourbeat.state.log_position import log_position
from fourbeat.state.moments import Moments, Pauser
from fourbeat.state.ranking import RankedState, Ranking
from fourbeat.state.snapshots import Snapshots
from fourbeat.state.stop import StopRequest
from fourbeat.state.time_share import TimeShare

EXCEPTION_FILE = "exception.ckpt"


class StateCheckpoint(Checkpoint):
    """Keeps the newest states, from which a run is resumed, and the best ones.

    Every file is an exact restart point: the run that is resumed from it ends as the one that was
    never interrupted. States are captured between batches and between epochs only, also when a
    signal asks the run to stop.

    Args:
        files: Where they are kept; None: nothing is saved, but signals are obeyed.
        monitor: The metric that says which state is best, judged at the end of each epoch in which
            it was measured.
        mode: Whether it is best small or large.
        every_n_train_steps: Optimizer steps between two saves within an epoch; None: only by time.
        interval_s: Seconds between two saves within an epoch.
        max_time_share: The part of the run's time that saves may take, 0 to 1. The last state, and
            one that is saved because of a signal, are saved in any case.
        snapshots: Keeps some of the saved states for good; None: none.

    Attributes:
        pauser: Asks somebody before a step, with the state saved; None: nobody.
        stop: The signals that were heard.
        ranking: The best states so far.
    """

    def __init__(
        self,
        files: KeptFiles | None = None,
        *,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        every_n_train_steps: int | None = None,
        interval_s: float = 60.0,
        max_time_share: float = 0.02,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.files, self.snapshots, self.monitor = files, snapshots, monitor
        self.every_n_train_steps = every_n_train_steps
        self.ranking = Ranking(mode, files.num_best if files else 1)
        self.pauser: Pauser | None = None
        self.stop = StopRequest()
        self._time = TimeShare(max_time_share, interval_s)
        self._moments = Moments(self._begin, self._after_batch, self._after_epoch)
        self._read: dict[str, Any] | None = None
        self._pending: dict[str, Any] | None = None
        self._validated_at = self._played = 0

    @property
    def best_path(self) -> Path | None:
        """The file of the best state; None while there is none."""
        best = self.ranking.best
        path = self.files.best(best) if self.files and best else None
        return path if path and path.exists() else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Attach to the loops of a training."""
        if stage == "fit":
            self._trainer, self._module = trainer, pl_module
            self._moments.attach(trainer)
            if self.files and trainer.is_global_zero:
                clear_temporary_files(self.files.folder)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the loops."""
        if stage == "fit":
            self._moments.detach(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Prepare the loops for going on from a state."""
        if trainer.state.fn == "fit":
            self._read = checkpoint
            set_position(trainer, checkpoint)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the values that were the latest ones."""
        if self._read is not None:
            show_latest(trainer, self._read)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to signals before the training begins, too."""
        self._listen()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note with which weights a validation was made."""
        if not trainer.sanity_checking:
            self._validated_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note how many mini-batches of the epoch have been played."""
        self._played = count_batches_done(batch, batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last state; a run that is stopped from now on only lacks its test."""
        self._save(self._position("between epochs", is_over=True))
        self.stop.obey()

    def on_test_batch_end(self, *_: Any) -> None:
        """Obey a signal between two batches of the test."""
        self.stop.obey()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Keep the weights of the step before, if they are any good."""
        if self.files is None:
            return
        if isinstance(exception, RunError) or not isinstance(exception, Exception):
            return
        if trainer.is_global_zero and is_finite(pl_module):
            state = trainer._checkpoint_connector.dump_checkpoint(weights_only=True)
            with contextlib.suppress(RunError):  # the exception is what the user must read of
                write_state(self.files.folder / EXCEPTION_FILE, state)

    def state_dict(self) -> dict[str, Any]:
        """Return which states are the best ones: plain data."""
        return {"ranking": self.ranking.state_dict(), "validated_at": self._validated_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from plain data."""
        self.ranking.load_state_dict(state_dict["ranking"])
        if self.files is not None:
            # Later ones have taken the place of some, which now are forgotten.
            self.ranking.entries = [e for e in self.ranking.entries if self.files.best(e).exists()]
        self._validated_at = state_dict["validated_at"]

    def _listen(self) -> None:
        """Put Lightning's handlers aside: they end an evaluation, or the run after any batch."""
        self.stop.listen()
        self._trainer._signal_connector.received_sigterm = False

    def _begin(self) -> None:
        trainer, is_resumed = self._trainer, self._read is not None
        if self._read is not None:
            continue_from(trainer, self._module, self._read)
            self._read = None
        self._listen()
        self._time.start()
        stop, _ = self._agreed(is_due=False)
        if stop:
            if not is_resumed:
                self._save(self._position("between epochs"))
            self.stop.obey()
        self._offer_pause("between epochs")

    def _after_batch(self) -> None:
        trainer, step = self._trainer, self._trainer.global_step
        accumulated = getattr(self._module, "accumulate_grad_batches", None)
        if self._played % (accumulated or trainer.accumulate_grad_batches):
            return  # gradients that no state holds
        if trainer.should_stop or step == trainer.max_steps:
            return  # the epoch ends here
        every = self.every_n_train_steps
        is_due = self._time.interval_is_over or bool(every and step % every == 0)
        stop, is_due = self._agreed(is_due=is_due and self._time.allows_a_save)
        if stop or is_due:
            self._save(self._position("within an epoch"))
        self.stop.obey()
        self._offer_pause("within an epoch")

    def _after_epoch(self) -> None:
        trainer = self._trainer
        improved = self._judge()
        is_over = trainer.should_stop or trainer.global_step == trainer.max_steps
        is_over = is_over or trainer.current_epoch == trainer.max_epochs
        stop, is_due = self._agreed(is_due=self._time.allows_a_save)
        if improved and not (stop or is_due):
            self._keep_in_memory()
        elif (stop or is_due) and (improved or not is_over):
            self._save(self._position("between epochs"), improved=improved)
        if not is_over:
            self.stop.obey()
            self._offer_pause("between epochs")

    def _offer_pause(self, moment: Moment) -> None:
        step = self._trainer.global_step
        if self.pauser is not None and self.pauser.is_due(step):
            self._save(self._position(moment))
            self.pauser.pause(step)

    def _judge(self) -> bool:
        trainer, step = self._trainer, self._trainer.global_step
        measured = trainer.callback_metrics
        has_validated = self._validated_at == step
        if self.monitor.startswith("val/"):
            if not has_validated:
                return False
            splits = ["val/"]
        else:
            splits = ["train/"] + ["val/"] * has_validated
        if self.files is None or self.monitor not in measured:
            return False
        metrics = {n: float(v) for n, v in measured.items() if n.startswith(tuple(splits))}
        score = float(measured[self.monitor])
        return self.ranking.add(RankedState(score, trainer.current_epoch - 1, step, metrics))

    def _position(self, moment: Moment, *, is_over: bool = False) -> Position:
        trainer = self._trainer
        stopping: Any = trainer.early_stopping_callback
        reason = getattr(stopping, "stopping_reason_message", None) if trainer.should_stop else ""
        return Position(
            moment=moment,
            epoch=trainer.current_epoch,
            batch=self._played if moment == "within an epoch" else 0,
            step=trainer.global_step,
            is_over=is_over,
            stop_reason=reason or "",
        )

    def _capture(self, position: Position, *, durable: bool) -> dict[str, Any]:
        trainer = self._trainer
        if (training_log := getattr(self._module, "training_log", None)) is not None:
            training_log.write(trainer.loggers)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RecorderCallback):
                callback.flush()
        logs = None
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            logs = log_position(trainer.loggers, folder, durable=durable)
        return capture(trainer, self._module, position, logs)

    def _keep_in_memory(self) -> None:
        """Keep the best state until there is time to write it; no later one is written before."""
        self._pending = copy_to_cpu(self._capture(self._position("between epochs"), durable=False))

    def _save(self, position: Position, *, improved: bool = False) -> None:
        if self.files is None:
            return
        if not is_finite(self._module):
            log.warning(
                "the weights are not finite at step %d: nothing was saved, what was saved before "
                "is kept",
                position.step,
            )
            return
        with self._time.spent():
            state = self._capture(position, durable=True)
            if self._trainer.is_global_zero:
                self._write(self.files, state, improved=improved)
            self._pending = None
            self._trainer.strategy.barrier("state saved")

    def _write(self, files: KeptFiles, state: dict[str, Any], *, improved: bool) -> None:
        if self._pending is not None and not improved:
            files.write_best(encode(self._pending), self.ranking.entries)
        data: bytes | Path = encode(state)
        if improved:
            data = files.write_best(data, self.ranking.entries)
        if files.num_last:
            files.write_last(data)
            data = files.last
        if self.snapshots is not None:
            self.snapshots.keep(Position.of(state).step, data)

    def _agreed(self, *, is_due: bool) -> tuple[bool, bool]:
        """Decide together with the other processes: whether to stop, and whether to save."""
        if self._trainer.world_size > 1:
            said = [self.stop.signum or 0, int(is_due and self._trainer.is_global_zero)]
            flags = torch.tensor(said, device=self._trainer.strategy.root_device)
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
            signum, due = flags.tolist()
            self.stop.signum, is_due = signum or None, bool(due)
        return bool(self.stop), is_due

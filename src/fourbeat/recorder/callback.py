"""The recorder of a Trainer's training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from fourbeat.base.registry import StateRegistry
from fourbeat.events.hooks import find_network
from fourbeat.events.lightning import ObserverCallback
from fourbeat.lightning.event_writers import event_writer
from fourbeat.lightning.trainer import loss_scaler
from fourbeat.recorder.block import Block
from fourbeat.recorder.ranges import SpikeDetector
from fourbeat.recorder.recorder import Recorder, Write
from fourbeat.recorder.store import Writer, write_block

RECORDS_DIR = "records"


class RecorderCallback(ObserverCallback):
    """Records each optimizer step of any LightningModule, into the run's own event file.

    In a project of your own: ``RecorderCallback(folder="runs/one")``, the folder of its
    :class:`fourbeat.StateCheckpoint`, and ``fourbeat.read_records("runs/one")``.

    Args:
        folder: Where an event file of its own is written, under ``records``; None: the records go
            into that of TensorBoard's logger, and without one into the Trainer's folder.
        layers_every_n_steps: Optimizer steps between two measurements of each layer's weights,
            updates and outputs.
        stop_on_nan: End the training before a gradient with a NaN or Inf corrupts the weights. Only
            on the CPU, where reading each norm costs nothing, and without a loss scaler, which
            skips such steps; nor for a compiled step: observers are notified when it is over.
        write: Sink for blocks of rows; None: the event file.

    Attributes:
        recorder: Of the training that is under way; None between trainings.
    """

    def __init__(
        self,
        *,
        folder: str | Path | None = None,
        layers_every_n_steps: int = 100,
        stop_on_nan: bool = False,
        write: Write | None = None,
    ) -> None:
        super().__init__()
        self.folder = None if folder is None else Path(folder)
        self.layers_every_n_steps, self.stop_on_nan = layers_every_n_steps, stop_on_nan
        self._write = write or self._write_to_log
        self.recorder: Recorder | None = None
        self._spikes = SpikeDetector()
        self._begun: dict[str, list[float]] = {}
        self._own_writer: EventFileWriter | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start recording, at the step at which the training starts or resumes."""
        self._trainer = trainer
        if trainer.global_step == 0:
            self._spikes = SpikeDetector()
        self.recorder = self._recorder(trainer, pl_module)
        self.recorder.epoch, self.recorder.begun = trainer.current_epoch, self._begun
        self._begun = {}
        self.observers = [self.recorder]
        super().on_train_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the recorder's epoch."""
        if self.recorder is not None:
            self.recorder.epoch = trainer.current_epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left."""
        if self.recorder is not None:
            self.recorder.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write what is left; Lightning calls no ``teardown`` then."""
        try:
            self.on_train_end(trainer, pl_module)
        finally:
            super().on_exception(trainer, pl_module, exception)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove all hooks from the module and the Trainer."""
        super().teardown(trainer, pl_module, stage)
        if self._own_writer is not None:
            self._own_writer.close()
        self.recorder = self._own_writer = None

    def state_dict(self) -> dict[str, Any]:
        """Return what the losses were like, and those of a step that several batches make."""
        begun = self.recorder.begun if self.recorder else self._begun
        return asdict(self._spikes) | ({"begun": begun} if begun else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._begun = dict(state_dict.get("begun", {}))
        self._spikes = SpikeDetector(**{n: v for n, v in state_dict.items() if n != "begun"})

    def register_state(self, registry: StateRegistry) -> None:
        """Have all that was recorded written to the event file before a state is captured."""
        registry.before_capture(self.flush)

    def flush(self) -> None:
        """Write all that was recorded so far to the event file."""
        if self.recorder is not None:
            self.recorder.flush()

    def _recorder(self, trainer: Trainer, module: LightningModule) -> Recorder:
        loop = getattr(module, "loop", None)
        scaler = loss_scaler(trainer)
        return Recorder(
            find_network(module),
            self._write,
            num_groups=max((len(o.param_groups) for o in trainer.optimizers), default=0),
            are_several=len(trainer.optimizers) > 1,
            first_step=trainer.global_step,
            layers_every_n_steps=self.layers_every_n_steps,
            watch_outputs=not getattr(getattr(loop, "backend", None), "is_compiling", False),
            clips=_clips(trainer, module),
            stop_on_nan=self.stop_on_nan and module.device.type == "cpu",
            scale=None if scaler is None else scaler.get_scale,
            spikes=self._spikes,
        )

    def _write_to_log(self, tag: str, block: Block) -> None:
        if self._trainer.is_global_zero:
            write_block(self._writer(), tag, block)

    def _writer(self) -> Writer:
        for logger in self._trainer.loggers if self.folder is None else ():
            if isinstance(logger, TensorBoardLogger):
                writer = event_writer(logger)
                assert writer is not None  # only the first process is asked
                return cast(Writer, writer)
        if self._own_writer is None:
            folder = self.folder or Path(self._trainer.default_root_dir)
            self._own_writer = EventFileWriter(str(folder / RECORDS_DIR))
        return cast(Writer, self._own_writer)


def _clips(trainer: Trainer, module: LightningModule) -> bool:
    """Return whether gradients may be changed between unscale and step."""
    loop = getattr(module, "loop", None)
    if loop is not None and hasattr(loop, "gradient_clip_val"):
        return bool(loop.gradient_clip_val)
    own = type(module).configure_gradient_clipping
    is_plain = own is LightningModule.configure_gradient_clipping and module.automatic_optimization
    return bool(trainer.gradient_clip_val) or not is_plain

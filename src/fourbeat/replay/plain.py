"""Steps of a plain Lightning project replayed: no config, no manifest, a function that builds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelSummary, ProgressBar
from torch import nn

from fourbeat.base.console import show_lines
from fourbeat.base.errors import RunError
from fourbeat.data import Data
from fourbeat.lightning.loggers import SilentLogger
from fourbeat.lightning.trainer import callbacks_of
from fourbeat.recorder import RecorderCallback, read_records
from fourbeat.replay.instruments import Instruments
from fourbeat.replay.session import Start, play_shown
from fourbeat.replay.steps import Played, Replay, refuse_absent, replay_measured
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.training.components import Components
from fourbeat.training.warnings import expected_warnings

Build: TypeAlias = Callable[[], tuple[Trainer, LightningModule, Data]]
"""Makes what is trained, afresh each time: Trainer, module, adopted data module."""

WRITING = (Checkpoint, ModelSummary, ProgressBar, RecorderCallback)
"""Callbacks whose place a replay's own take: they write, and change nothing that is computed."""


def replay_with(build: Build, run_dir: str | Path, step: int) -> Replay:
    """Replay a step that a plain Trainer has made, and compare it with the records.

    From the nearest state that lies far enough before it, bitwise identical where ``build`` makes
    what was trained; :func:`fourbeat.replay_lines` describes it.

    Args:
        build: Returns Trainer, module and data module, as they were before ``fit``: what it draws,
            the first weights, it seeds. Loggers, progress bar and what saves are left out.
        run_dir: The folder of the :class:`fourbeat.StateCheckpoint` and the
            :class:`fourbeat.RecorderCallback`; nothing is written into it.
        step: Index of the optimizer step, from 0.

    Returns:
        The step: ``comparison`` with the records, ``instruments``, ``replayed``.

    Raises:
        RunError: There is no such step, or the training cannot be built.
    """
    show_lines()
    folder = Path(run_dir)
    recorded = read_records(folder)
    refuse_absent(folder, step, int(recorded.steps.steps.max(initial=-1)))
    return replay_measured(folder, step, recorded, partial(_replay_shown, build))


def _replay_shown(
    build: Build, start: Start, last_step: int, observe: Callable[[nn.Module], Instruments]
) -> Played:
    components = _built(build)
    trainer, data = components.trainer, components.datamodule
    fit = partial(trainer.fit, components.module, datamodule=data, ckpt_path=start.path)
    with expected_warnings(trainer.loggers):
        return play_shown(components, fit, start, last_step, observe)


def _built(build: Build) -> Components:
    trainer, module, data = build()
    callbacks = callbacks_of(trainer)
    if not any(isinstance(each, StateCheckpoint) for each in callbacks):
        raise RunError("build: its Trainer has no StateCheckpoint among the callbacks.")
    # In place: others may hold the list.
    callbacks[:] = [each for each in callbacks if not isinstance(each, WRITING)]
    callbacks.append(StateCheckpoint())
    # For callbacks and modules that ask for one, as LearningRateMonitor does.
    folder = trainer.default_root_dir
    trainer.loggers = [SilentLogger(folder)] if trainer.loggers else []
    return Components(module, data, trainer, Path(folder))

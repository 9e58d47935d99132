"""A run's weights exported by whoever can build its network again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fourbeat.base.console import show_lines
from fourbeat.base.errors import RunError, first_line
from fourbeat.config.project import Project
from fourbeat.config.stored import has_given_loaders
from fourbeat.data import map_tensors
from fourbeat.state.export import PROGRAM
from fourbeat.training.components import Components
from fourbeat.training.evaluation import build_for_evaluation
from fourbeat.training.stored import StoredRun


def export_run(
    project: Project,
    run_dir: str | Path,
    file: Path,
    checkpoint: str = "best",
    example: Path | None = None,
    *,
    overwrite: bool = False,
) -> str:
    """Export the weights of a run, whose project says which of them are the network's.

    Args:
        project: Whose run it is.
        run_dir: The run folder; nothing is written into it.
        file: As of :meth:`fourbeat.Run.export`.
        checkpoint: ``best``, ``last``, or a path.
        example: For a program: a file that holds the inputs; None: those of the first batch.
        overwrite: Replace a file that is there.

    Returns:
        What was written, in one line.

    Raises:
        RunError: Nothing was written, with the reason.
    """
    show_lines()
    stored = StoredRun.load(project, run_dir)
    net = inputs = None
    if not has_given_loaders(stored.run.config):  # else nobody can build it again
        components = build_for_evaluation(stored)
        net = components.module
        if file.suffix == PROGRAM or example:
            inputs = _first_inputs(components, file) if example is None else _read(example)
    path = stored.run.export(
        file, checkpoint=checkpoint, net=net, example=inputs, overwrite=overwrite
    )
    return f"{path}: the weights of {stored.run.weights(checkpoint).name} of {stored.run.dir}"


def _first_inputs(components: Components, file: Path) -> Any:
    try:
        batch = components.datamodule.example_batch()
    except Exception as error:  # the user's own loaders may raise anything
        raise RunError(
            f"{file}: the first batch of the run could not be read "
            f"({type(error).__name__}: {first_line(error)}): add example=FILE, with the inputs as "
            "torch.save wrote them."
        ) from error
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        raise RunError(
            f"{file}: what the network takes cannot be read off the run's batches, which are no "
            "(inputs, targets): add example=FILE, with the inputs as torch.save wrote them."
        )
    return map_tensors(batch[0], lambda tensor: tensor.detach().clone())


def _read(example: Path) -> Any:
    try:
        return torch.load(example.expanduser(), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is no such file, torch has many words for it
        why = str(error).splitlines()[0][:80]
        raise RunError(f"example={example}: could not be read ({why}).") from error

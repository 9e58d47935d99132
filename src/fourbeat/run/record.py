"""A run: its folder and manifest, from the start of the training to its end."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, SupportsFloat

from fourbeat.base.errors import RunError
from fourbeat.run.folder import checkpoint_path, weights_path
from fourbeat.run.manifest import MANIFEST_FILE, MANIFEST_FORMAT, Manifest, Outcome, utc_now
from fourbeat.run.provenance import count_threads, read_environment, read_git


@dataclass(frozen=True)
class Run:
    """One training with its folder.

    Attributes:
        dir: The run folder.
        manifest: What was trained, on what, and how it ended.
        model: The network with the best weights; None for a run that was loaded from its folder.
    """

    dir: Path
    manifest: Manifest
    model: Any = field(default=None, repr=False, compare=False)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric, e.g. ``val/loss``."""
        return self.manifest.metrics

    @property
    def outcome(self) -> Outcome:
        """How the run stands, and why."""
        return self.manifest.outcome

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return self.manifest.config

    def checkpoint(self, which: str = "best") -> Path:
        """Return the path of a checkpoint.

        Args:
            which: ``best``, ``last``, or a path, relative to the working folder or to the run's.

        Raises:
            RunError: There is no such checkpoint.
        """
        return checkpoint_path(self.dir, which)

    def weights(self, which: str = "best") -> Path:
        """Return the file of the weights that the run has tested, or of a checkpoint.

        Args:
            which: ``best``, ``last``, or a path.
        """
        return weights_path(self.dir, which)

    def export(
        self,
        file: str | os.PathLike[str],
        *,
        checkpoint: str = "best",
        net: Any = None,
        example: Any = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the weights as a file that is read, or runs, without fourbeat.

        A plain state dict with the bare network's own names, for ``torch.load(file,
        weights_only=True)``; as ``.safetensors`` or as ``.pt2``, a program of ``torch.export``, if
        the file is called so. The run folder stays as it is.

        Args:
            file: To be written.
            checkpoint: ``best``, ``last``, or a path.
            net: The network, or the LightningModule that has it; None: :attr:`model`, and without
                one the names are those in the checkpoint, without a wrapper's ``net.``.
            example: For a program: what the network is called with, a tuple of several.
            overwrite: Replace a file that is there.

        Returns:
            The file.

        Raises:
            RunError: Nothing was written, with the reason.
        """
        path = Path(file).expanduser().resolve()
        if path.is_relative_to(self.dir.resolve()):
            raise RunError(f"{path}: lies in the run folder, which stays as it is: choose another.")
        # By name: this room imports no torch, and lies below the one that reads checkpoints.
        room = importlib.import_module("fourbeat.state.export")
        chosen = {"net": self.model if net is None else net, "example": example}
        room.export_weights(self.weights(checkpoint), path, **chosen, overwrite=overwrite)
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Run:
        """Return the run that left ``folder``.

        Args:
            folder: A run folder; `fourbeat.run.find_run` makes one of ``last``.

        Raises:
            RunError: It is not a run folder, or not readable by this version.
        """
        path = Path(folder).resolve()
        return cls(path, Manifest.read(path))

    def __str__(self) -> str:
        manifest, outcome = self.manifest, self.outcome
        why = f" ({outcome.reason})" if outcome.reason else ""
        done = f"{manifest.num_epochs} epochs, {manifest.num_steps} steps"
        numbers = [f"  {name} {value:.4g}" for name, value in sorted(self.metrics.items())]
        return "\n".join([f"{self.dir}: {outcome.status}{why} after {done}", *numbers])


def start_run(
    folder: Path,
    *,
    command: Sequence[str],
    overrides: Sequence[str],
    seed: int,
    config: Mapping[str, Any],
    num_parameters: int,
    code_dir: Path | None = None,
    entry: str = "",
    composition: dict[str, Any] | None = None,
    init_sha256: str = "",
) -> Run:
    """Make the run folder, with the manifest of a run that is running and the uncommitted patch.

    With several processes, only the first calls it.

    Args:
        folder: The run folder; it may exist (Hydra makes it), but not hold a run.
        command: The process's argument list, ``sys.argv``.
        overrides: The config overrides in the order given.
        seed: The run's seed.
        config: The resolved config, of plain values.
        num_parameters: Trainable numbers in the model.
        code_dir: A folder in the repository whose code is run; None: the working folder.
        entry: The entry point that rebuilds the components, e.g. ``project.build:build``; a
            resume, a replay and an evaluation take it from the current project only.
        composition: What the config was composed from, see :class:`Manifest`.
        init_sha256: Of the file of ``init_from``; empty: there is none.

    Raises:
        RunError: The folder holds a run already, or cannot be written.
    """
    folder = _make(Path(folder))
    manifest = Manifest(
        format_version=MANIFEST_FORMAT,
        command=list(command),
        overrides=list(overrides),
        seed=seed,
        config=dict(config),
        git=read_git(code_dir or Path.cwd(), folder),
        environment=read_environment(),
        started=utc_now(),
        ended=None,
        outcome=Outcome("running"),
        num_epochs=0,
        num_steps=0,
        num_parameters=num_parameters,
        metrics={},
        checkpoints={},
        resumed=[],
        entry=entry,
        composition=composition,
        init_sha256=init_sha256,
    )
    return _saved(Run(folder, manifest))


def resume_run(
    run: Run,
    *,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    from_step: int,
    composition: dict[str, Any] | None = None,
) -> Run:
    """Record in the manifest that a run is resumed, and return it as running.

    Args:
        run: The run as `Run.load` gives it.
        config: What it is resumed with, now and by default the next time.
        overrides: The overrides given with the resume, in order.
        from_step: Optimizer steps done in the checkpoint from which it is resumed.
        composition: What the config was composed from, see :class:`Manifest`.

    Raises:
        RunError: The manifest cannot be written.
    """
    this_resume = {
        "when": utc_now(),
        "overrides": list(overrides),
        "from_step": from_step,
        "num_threads": count_threads(),
    }
    resumed = [*run.manifest.resumed, this_resume]
    changes = {"config": dict(config), "composition": composition, "resumed": resumed}
    return _saved(run, outcome=Outcome("running"), ended=None, **changes)


def finish_run(
    run: Run,
    outcome: Outcome,
    *,
    num_epochs: int,
    num_steps: int,
    metrics: Mapping[str, SupportsFloat],
    checkpoints: Mapping[str, str | os.PathLike[str]],
    swapped_by: str = "",
) -> Run:
    """Record in the manifest how a run ended, and return it.

    Args:
        run: As `start_run` or `resume_run` gave it.
        outcome: How it ended, and why.
        num_epochs: Epochs completed, those before a resume included.
        num_steps: Optimizer steps done, those before a resume included.
        metrics: The last value of each: a number, or a tensor of one.
        checkpoints: ``best`` and ``last``, those that exist, to their paths; the manifest stores
            them relative to the folder, so that it may be moved.
        swapped_by: As of :class:`Manifest`; empty: as it was before a resume.

    Raises:
        RunError: The manifest cannot be written.
    """
    return _saved(
        run,
        outcome=outcome,
        ended=utc_now(),
        num_epochs=num_epochs,
        num_steps=num_steps,
        metrics={name: float(value) for name, value in metrics.items()},
        checkpoints={name: _relative(path, run.dir) for name, path in checkpoints.items()},
        swapped_by=swapped_by or run.manifest.swapped_by,
    )


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder}: the run folder could not be made ({error.strerror}). "
            "Choose another place with paths.output_dir=..."
        ) from error
    if (folder / MANIFEST_FILE).exists():
        raise RunError(
            f"{folder}: holds a run already. Resume it with resume={folder}, "
            "or choose another folder."
        )
    return folder.resolve()


def _saved(run: Run, **changes: Any) -> Run:
    manifest = dataclasses.replace(run.manifest, **changes)
    manifest.write(run.dir)
    return dataclasses.replace(run, manifest=manifest)


def _relative(path: str | os.PathLike[str], folder: Path) -> str:
    absolute = folder / path
    inside = absolute.is_relative_to(folder)
    return (absolute.relative_to(folder) if inside else absolute).as_posix()

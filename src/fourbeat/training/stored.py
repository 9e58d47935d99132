"""A run read from its folder, and its components built again by the project that trained it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fourbeat.base.process import set_up_process
from fourbeat.config.compose import apply_overrides
from fourbeat.config.composition import Composition
from fourbeat.config.project import Project
from fourbeat.config.references import change_composition
from fourbeat.config.schema import TrainConfig
from fourbeat.config.stored import read_config, refuse_given_loaders
from fourbeat.preflight.checks import check_composed
from fourbeat.run import Run
from fourbeat.training.assembly import build_components
from fourbeat.training.components import Components


@dataclass(frozen=True)
class StoredRun:
    """A run that has left its folder.

    Attributes:
        project: Whose code and config it was trained with.
        run: The run; its config has the project's present targets, and a default where an older
            version knew no such key.
    """

    project: Project
    run: Run

    @classmethod
    def load(cls, project: Project, run_dir: str | os.PathLike[str]) -> StoredRun:
        """Read the run of a folder.

        Raises:
            RunError: It is no run folder, or not readable by this version.
        """
        run = Run.load(run_dir)
        config = read_config(project, run.config)
        manifest = dataclasses.replace(run.manifest, config=config)
        return cls(project, dataclasses.replace(run, manifest=manifest))

    def config(self, overrides: Sequence[str] = ()) -> TrainConfig:
        """Return the config that the run stored, checked again on this machine.

        Sets up the process: torch starts its threads when the components are tried.

        Args:
            overrides: Keys to change.

        Raises:
            RunError: The run was trained on objects that were given, by ``fit()``.
            ConfigError: With every fault found.
        """
        run = self.run
        refuse_given_loaders(run.dir, run.config)
        set_up_process()
        composed = OmegaConf.create(run.config)
        assert isinstance(composed, DictConfig)
        changed = apply_overrides(composed, overrides)
        # The run has the file's weights already: nobody needs it any more.
        file, changed.init_from = changed.get("init_from"), None
        return check_composed(changed).model_copy(update={"init_from": file})

    def composition(self, cfg: TrainConfig) -> dict[str, Any] | None:
        """Return what the run's config was composed from, for a manifest.

        Args:
            cfg: The run's config, perhaps with changes.
        """
        stored = Composition.of(self.run.manifest.composition)
        return change_composition(stored, self.run.config, cfg.plain()).stored()

    def build(self, cfg: TrainConfig, folder: Path | None = None) -> Components:
        """Build the run's components with the entry point that its manifest names.

        Args:
            cfg: The run's config, perhaps with changes.
            folder: Where they are to write; None: the run folder.

        Raises:
            RunError: The entry point is not of this project.
        """
        entry = self.run.manifest.entry
        return build_components(self.project, cfg, folder or self.run.dir, entry)

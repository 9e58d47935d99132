"""A config composed once, checked, and run in a folder that Hydra makes; or printed by Hydra.

``hydra.main`` composes by itself and makes the folder before anybody can check the config. So a
single run is launched with Hydra's own pieces; sweeps and what only prints go through
``hydra.main``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from fourbeat.base.errors import Fault
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.exits import end_with_reader
from fourbeat.config.compose import compose_config, compose_good
from fourbeat.config.overrides import COMPOSITION_ERRORS
from fourbeat.lightning.hydra import (
    ConfigLoader,
    JobReturn,
    error_of_job,
    folders_read_once,
    job_runner,
    loader_in_use,
    make_callbacks,
    set_single_run,
)

Check = Callable[[DictConfig, Sequence[Fault]], Any]
"""Takes a composed config without Hydra's own keys, and the faults of what was not composed."""


@dataclass(frozen=True)
class Composed:
    """A config with Hydra's own keys, composed once.

    Attributes:
        name: Of the primary config.
        config: The whole config.
        loader: What composed it.
    """

    name: str
    config: DictConfig
    loader: ConfigLoader

    @property
    def own(self) -> DictConfig:
        """The config without Hydra's keys."""
        return OmegaConf.masked_copy(self.config, [str(k) for k in self.config if k != "hydra"])


def compose_once(
    conf_dir: Path, config_name: str, overrides: Sequence[str], check: Check, *, job_name: str
) -> Composed:
    """Compose a config as ``hydra.main`` would, but before any folder is made.

    Args:
        conf_dir: The project's config folder.
        config_name: The primary config.
        overrides: What the user typed.
        check: Raises the faults of overrides that cannot be composed, and those of the rest.
        job_name: What Hydra calls the job.

    Raises:
        ConfigError: The overrides cannot be composed: their faults, and those of the rest.
    """
    try:
        with initialize_config_dir(str(conf_dir), job_name, version_base="1.3"):
            config = compose(config_name, list(overrides), return_hydra_config=True)
            return Composed(config_name, config, loader_in_use())
    except COMPOSITION_ERRORS:
        check(*compose_good(conf_dir, overrides, config_name))
        raise  # of Hydra's own keys, which its message names


class Launch:
    """What ``hydra.main`` would do around a single run.

    Args:
        composed: The config, which has been checked.

    Attributes:
        run: Makes the run folder as Hydra does, and calls a job with the composed config.
    """

    def __init__(self, composed: Composed) -> None:
        config = composed.config
        set_single_run(config)
        self._about: dict[str, Any] = {"config": config, "config_name": composed.name}
        self._callbacks = make_callbacks(config)
        self.run: Callable[[Callable[[DictConfig], Any]], JobReturn] = job_runner(
            config, composed.loader, self._callbacks
        )
        self._callbacks.on_run_start(**self._about)

    def end(self, returned: JobReturn) -> None:
        """End the run, and raise what the job has raised.

        Args:
            returned: What ``run`` has returned.
        """
        self._callbacks.on_run_end(**self._about, job_return=returned)
        # Not by Hydra's own property, which prints a line of its own.
        if (error := error_of_job(returned)) is not None:
            raise error


def hydra_main(conf_dir: Path, config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Let Hydra read the command line by itself: for sweeps, and for what only prints."""
    hydra.main(version_base="1.3", config_path=str(conf_dir), config_name=config_name)(job)()


def inform(conf_dir: Path, arguments: Arguments, config_name: str, job_name: str) -> None:
    """Let Hydra print what is asked for.

    Args:
        conf_dir: The project's config folder.
        arguments: The command line.
        config_name: The primary config.
        job_name: What Hydra would call the job, for ``--cfg hydra``.

    Raises:
        ConfigError: The overrides cannot be composed.
    """
    end_with_reader()
    try:
        with folders_read_once():
            hydra_main(conf_dir, config_name, _nothing_named(job_name))
    except HydraException:
        compose_config(conf_dir, arguments.overrides, config_name)  # says it better
        raise


def _nothing_named(name: str) -> Callable[[DictConfig], None]:
    def nothing(_: DictConfig) -> None:
        pass

    nothing.__module__ = name  # Hydra names the job after its function's module
    return nothing

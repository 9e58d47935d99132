"""What Hydra prints without running anything: help, the config, completion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig

from fourbeat.cli.arguments import Arguments
from fourbeat.cli.launch import hydra_main
from fourbeat.cli.report import end_with_reader
from fourbeat.config.compose import compose_config
from fourbeat.lightning.hydra import folders_read_once


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

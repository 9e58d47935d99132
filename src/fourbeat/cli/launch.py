"""A config composed once, checked, and run in a folder that Hydra makes.

``hydra.main`` composes by itself and makes the folder before anybody can check the config. So a
single run is launched with Hydra's own pieces; sweeps and what only prints go through
``hydra.main``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir

# Private; the dependency is pinned to 1.3, in which nothing of what is used here has changed.
from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.compose import compose_good
from fourbeat.config.overrides import COMPOSITION_ERRORS

Check = Callable[[DictConfig, Sequence[Fault]], Any]
"""Takes a composed config without Hydra's own keys, and the faults of what was not composed."""


@dataclass
class Launch:
    """A job that is ready to run.

    Attributes:
        checked: What the check has returned.
        run: Hydra's ``run_job``: makes the run folder, and calls a job with the composed config.
        returned: What ``run`` has returned, to be set by whoever calls it.
    """

    checked: Any
    run: Callable[[Callable[[DictConfig], Any]], JobReturn]
    returned: JobReturn | None = None


@contextmanager
def launching(
    conf_dir: Path, config_name: str, overrides: Sequence[str], check: Check
) -> Iterator[Launch]:
    """Compose and check a config, and do within this block what ``hydra.main`` would do around it.

    Args:
        conf_dir: The project's config folder.
        config_name: The primary config; the job has its name.
        overrides: What the user typed.
        check: Raises a ConfigError for what cannot be run; no folder has been made then.

    Raises:
        ConfigError: The overrides cannot be composed, or the check refuses them.
    """
    composed = _compose(conf_dir, config_name, overrides)
    if composed is None:
        bad_overrides = compose_good(conf_dir, overrides, config_name)
        check(*bad_overrides)
        raise_faults(bad_overrides[1])
    assert composed is not None
    config, loader = composed
    checked = check(_without_hydra(config), [])
    config.hydra.mode = RunMode.RUN
    callbacks = Callbacks(config)
    run = partial(
        run_job,
        config=config,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=HydraContext(loader, callbacks),
    )
    launch = Launch(checked, run)
    callbacks.on_run_start(config=config, config_name=config_name)
    yield launch
    callbacks.on_run_end(config=config, config_name=config_name, job_return=launch.returned)
    _raise_error(launch.returned)


def _compose(
    conf_dir: Path, config_name: str, overrides: Sequence[str]
) -> tuple[DictConfig, ConfigLoader] | None:
    """Compose a config with Hydra's own keys; None if that cannot be done."""
    with initialize_config_dir(str(conf_dir), config_name, version_base="1.3"):
        try:
            config = compose(config_name, list(overrides), return_hydra_config=True)
        except COMPOSITION_ERRORS:
            return None
        return config, GlobalHydra.instance().config_loader()


def _raise_error(returned: JobReturn | None) -> None:
    """Raise what a job has raised; not by Hydra's property, which prints its own line first."""
    if returned is not None and returned.status is JobStatus.FAILED:
        raise returned._return_value


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def hydra_main(conf_dir: Path, config_name: str, job: Callable[[DictConfig], Any]) -> None:
    """Let Hydra read the command line by itself: for sweeps, and for what only prints."""
    hydra.main(version_base="1.3", config_path=str(conf_dir), config_name=config_name)(job)()

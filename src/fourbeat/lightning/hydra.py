"""Hydra: its command line, its composition, its jobs. Imports neither torch nor Lightning.

Documented are ``hydra.main``, ``hydra.compose``, ``initialize_config_dir``, ``ConfigStore``,
``HydraConfig`` and ``instantiate``; of all else that Hydra has, only this module knows.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from hydra._internal.callbacks import Callbacks as Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader as ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep as IntervalSweep
from hydra.core.override_parser.types import Override as Override
from hydra.core.utils import JobReturn as JobReturn
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig


def parse_command_line(words: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Parse a command line with Hydra's own parser, so that no flag can mean two things.

    Returns:
        Its flags, with the ``overrides``, and the words that are neither flag nor override.
    """
    return get_args_parser().parse_known_args(list(words))


def parse_override(text: str) -> Override:
    """Parse one override.

    Raises:
        HydraException: It is not an override.
    """
    return OverridesParser.create().parse_override(text)


def loader_in_use() -> ConfigLoader:
    """Return what composes configs within ``initialize_config_dir``."""
    return GlobalHydra.instance().config_loader()


class ConfigGroups:
    """The config groups and their options. Within ``initialize_config_dir``.

    Args:
        primary: The primary config; it may name folders in ``hydra.searchpath``.
        overrides: Of Hydra's own keys: ``--config-dir`` stands for one of ``hydra.searchpath``.
    """

    def __init__(self, primary: str | None, overrides: Sequence[str]) -> None:
        self._loader = loader_in_use()
        self._within: tuple[str | None, list[str]] = primary, [*overrides]

    def __contains__(self, name: str) -> bool:
        """Return whether there is a group of this name, be it one that holds only groups."""
        top = self._loader.get_group_options("", ObjectType.GROUP, *self._within)
        return name in top or bool(self.options(name))

    def options(self, group: str) -> list[str]:
        """Name the configs that can be chosen in a group; none where there is no such group.

        Not those whose names begin with an underscore: the engine's own, of a stored run.
        """
        found = self._loader.get_group_options(group, ObjectType.CONFIG, *self._within)
        return [option for option in found if not option.startswith("_")]


@contextmanager
def silent_instantiate() -> Iterator[None]:
    """Within this block ``hydra.utils`` logs no failure that its caller is about to explain."""
    from hydra import utils  # late, as it imports much

    was, utils.log.disabled = utils.log.disabled, True
    try:
        yield
    finally:
        utils.log.disabled = was


def asks_for_sweep(config: DictConfig) -> bool:
    """Return whether a config with Hydra's own keys asks for a sweep by ``hydra.mode``."""
    return bool(config.hydra.mode is RunMode.MULTIRUN)


def set_single_run(config: DictConfig) -> None:
    """Note in a config with Hydra's own keys that one job runs, as ``hydra.main`` does."""
    config.hydra.mode = RunMode.RUN


def make_callbacks(config: DictConfig) -> Callbacks:
    """Build the callbacks that ``hydra.callbacks`` names, to be notified of a run."""
    return Callbacks(config)


def job_runner(
    config: DictConfig, loader: ConfigLoader, callbacks: Callbacks
) -> Callable[[Callable[[DictConfig], Any]], JobReturn]:
    """Return what makes a single run's folder, and calls a job with the config.

    Args:
        config: With Hydra's own keys.
        loader: What composed it.
        callbacks: Are notified of the job.
    """
    return partial(
        run_job,
        config=config,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=HydraContext(loader, callbacks),
    )


def error_of_job(returned: JobReturn) -> BaseException | None:
    """Return what a job has raised; ``return_value`` would print a line of its own before it."""
    if returned.status is not JobStatus.FAILED:
        return None
    error = returned._return_value
    assert isinstance(error, BaseException)
    return error


@contextmanager
def folders_read_once() -> Iterator[None]:
    """Keep what Hydra knows of the config folders from one list of options to the next.

    It reads and copies everything again for each list, which is more than half of the time that
    ``--help`` takes.
    """
    read: dict[tuple[str | None, tuple[str, ...]], CachingConfigRepository] = {}
    original = ConfigLoaderImpl.get_group_options

    def get_group_options(
        self: ConfigLoaderImpl,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: Sequence[str] | None = None,
    ) -> list[str]:
        key = config_name, tuple(overrides or ())
        if key not in read:
            _, read[key] = self._parse_overrides_and_create_caching_repo(config_name, [*key[1]])
        return read[key].get_group_options(group_name, results_filter)

    setattr(ConfigLoaderImpl, "get_group_options", get_group_options)  # noqa: B010
    try:
        yield
    finally:
        setattr(ConfigLoaderImpl, "get_group_options", original)  # noqa: B010

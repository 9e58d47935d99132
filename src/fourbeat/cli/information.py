"""What Hydra prints without running anything: help, the config, completion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Private; the dependency is pinned to 1.3, in which nothing of what is used here has changed.
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import DictConfig

from fourbeat.cli.arguments import Arguments
from fourbeat.cli.launch import hydra_main
from fourbeat.cli.report import end_with_reader
from fourbeat.config.compose import compose_config


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
        with _folders_read_once():
            hydra_main(conf_dir, config_name, _nothing_named(job_name))
    except HydraException:
        compose_config(conf_dir, arguments.overrides, config_name)  # says it better
        raise


def _nothing_named(name: str) -> Callable[[DictConfig], None]:
    def nothing(_: DictConfig) -> None:
        pass

    nothing.__module__ = name  # Hydra names the job after its function's module
    return nothing


@contextmanager
def _folders_read_once() -> Iterator[None]:
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

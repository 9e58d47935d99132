"""The primary config of a command: the project's own, or with ``from=`` that of a stored run.

The stored config, its references unresolved, is registered with Hydra as a primary config, and each
of its sections as an option of its group. So a group is chosen again as in any other command, and
what refers to it follows; single values, sweeps, launchers and ``--cfg`` need nothing of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from fourbeat.base.console import short_path
from fourbeat.base.errors import Fault, RunError, raise_faults
from fourbeat.cli.folders import find_folder, output_root
from fourbeat.config.composition import Composition
from fourbeat.config.deferred import register
from fourbeat.config.overrides import quote_value
from fourbeat.config.project import Project
from fourbeat.lightning.hydra_defaults import Groups, configs_stored, read_groups

if TYPE_CHECKING:
    from fourbeat.config.schema import TrainConfig

JOB = "train"
"""The project's primary config, and what Hydra calls the job: ``${hydra.job.name}``."""

STORED = "_from_"
"""What Hydra calls a stored run: as a primary config, and as an option of a group."""


@dataclass(frozen=True)
class Base:
    """A stored run whose config is the base of others.

    Attributes:
        folder: The run folder.
        config: Its resolved config, as this version reads it.
        composition: What it was composed from; empty in runs that did not store it.
        overrides: What its user typed.
    """

    folder: Path
    config: dict[str, Any]
    composition: Composition
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Primary:
    """The primary config of a command.

    Attributes:
        name: What Hydra calls it.
        base: The run that it was made of.
    """

    name: str
    base: Base | None = None

    def faults(self, composed: DictConfig) -> list[Fault]:
        """Return a fault if a file names a base: it would have had no effect."""
        spec = OmegaConf.select(composed, "from")
        if spec is None or self.base is not None:
            return []
        why = "can be given on the command line only: what a file names is not read before the file"
        return [Fault("command-line-only", "from", str(spec), why, f"Type from={spec}.")]

    def describe(self, choices: Mapping[str, Any]) -> str:
        """Say which run is the base, and what of it is gone; empty without one.

        Args:
            choices: Group to option, as Hydra has them.
        """
        if self.base is None:
            return ""
        was = self.base.composition.choices
        again = [f"{k}={choices[k]}" for k in was if choices.get(k) not in (STORED, None)]
        gone = f"; chosen again, whatever it had set there: {' '.join(again)}" if again else ""
        return f"new run on top of {short_path(self.base.folder)}{gone}"

    def trace(
        self, cfg: TrainConfig, composed: DictConfig, choices: Mapping[str, Any]
    ) -> TrainConfig:
        """Return a checked config with what it was composed from, for the manifest.

        Args:
            cfg: The checked config.
            composed: What Hydra composed.
            choices: Group to option, as Hydra has them.
        """
        from fourbeat.config.references import compose_from

        if self.base is None:
            return compose_from(cfg, self.name, choices, composed)
        before = self.base.composition
        new = {k: v for k, v in choices.items() if v not in (STORED, None)}
        kept = {k: v for k, v in before.choices.items() if k.rpartition("/")[0] not in new}
        return compose_from(cfg, before.primary or JOB, kept | new, composed)


@contextmanager
def reading_base(
    project: Project, overrides: Sequence[str], spec: str | None, name: str = ""
) -> Iterator[tuple[Primary, list[str]]]:
    """Make a stored run the base of what is composed within this block.

    Args:
        project: Whose run it is.
        overrides: What was typed.
        spec: ``last``, or a run folder; None: there is no base.
        name: The primary config that was asked for, if any.

    Yields:
        The primary config; the overrides, with the run's folder for what names it: ``last`` is
        another run as soon as the new one has started.

    Raises:
        ConfigError: An override would not mean what it says on top of that run.
        RunError: There is no such run, or no other can be made from it.
    """
    if spec is None:
        yield Primary(name or JOB), list(overrides)
        return
    if name:
        why = "cannot be used with from=: the primary config is that of the run"
        fault = Fault("impossible-together", "--config-name", name, why, "Leave out one of them.")
        raise_faults([fault])
    base = find_base(project, spec, output_root(project.conf_dir, overrides))
    others = [override for override in overrides if not override.startswith("from=")]
    typed = [f"from={quote_value(str(base.folder))}", *others]
    with base_stored(project, base, typed) as primary:
        yield primary, typed


def find_base(project: Project, spec: str, root: Path, key: str = "from") -> Base:
    """Return the stored run that ``from=`` names.

    Args:
        project: Whose run it is.
        spec: ``last``, or a run folder.
        root: Where runs lie.
        key: For messages: what names the run.

    Raises:
        RunError: There is no such run, or no other can be made from it.
    """
    from fourbeat.config.stored import read_config, refuse_given_loaders
    from fourbeat.run import Manifest

    folder = find_folder(key, spec, root)
    manifest = Manifest.read(folder)
    try:
        refuse_given_loaders(folder, manifest.config)
        project.refuse_foreign(manifest.entry)
    except RunError as error:
        raise RunError(f"{key}={spec}: {error}") from None
    stored = Composition.of(manifest.composition)
    current = project.with_current_targets(stored.config)
    composition = Composition(stored.primary, stored.choices, current)
    config = read_config(project, manifest.config)
    return Base(folder, config, composition, tuple(manifest.overrides))


@contextmanager
def base_stored(project: Project, base: Base, overrides: Sequence[str]) -> Iterator[Primary]:
    """Register a stored run with Hydra, as a primary config, while this block lasts.

    Args:
        project: Whose run it is.
        base: The run.
        overrides: What is typed on top of it.

    Raises:
        ConfigError: With a fault for each override that means nothing on top of this run.
    """
    from fourbeat.cli.based import Typed, base_faults
    from fourbeat.config.references import fill_config

    register()
    composition = base.composition
    with configs_stored():
        with initialize_config_dir(str(project.conf_dir), version_base="1.3"):
            groups, typed = _groups(composition, overrides), Typed.of(overrides)
        raise_faults(base_faults(project, base, groups, typed))
        config = fill_config(composition.config, base.config)
        chosen = groups.sections if composition.config else []
        _store(config, groups, [name for name in chosen if isinstance(config.get(name), dict)])
        yield Primary(STORED, base)


def _groups(composition: Composition, overrides: Sequence[str]) -> Groups:
    searched = [o for o in overrides if o.startswith("hydra.searchpath=")]
    names = [composition.primary, JOB] if composition.primary else [JOB]
    for name in names:
        try:
            return read_groups(name, composition.choices, searched)
        except HydraException as error:  # that primary config is no longer there
            failure = error
    raise failure


def _store(config: dict[str, Any], groups: Groups, sections: Sequence[str]) -> None:
    store = ConfigStore.instance()
    rest = {key: value for key, value in config.items() if key not in sections}
    for name in sections:
        store.store(STORED, config[name], group=name)
    hydra = {k: v for k, v in groups.hydra.items() if v is not None}
    defaults: list[Any] = [
        "_self_",
        *({name: STORED} for name in sections),
        *({k: v} for k, v in hydra.items() if k == "hydra"),
        *({name: None} for name in groups.presets),
        *({f"override {k}": v} for k, v in hydra.items() if k != "hydra"),
    ]
    store.store(STORED, {"defaults": defaults, "hydra": groups.node, **rest})

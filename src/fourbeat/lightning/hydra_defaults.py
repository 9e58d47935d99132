"""Which groups a primary config chooses from, and configs that exist for a while only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Groups:
    """The groups of a primary config.

    Attributes:
        sections: Whose options fill the section of the group's own name: ``optim`` fills ``optim``.
        presets: Whose options set keys anywhere (``# @package _global_``), or within a section
            (``data/loading``), in the order in which they are merged.
        hydra: Hydra's own, with the option chosen for each.
        node: The primary config's section ``hydra``, not merged with anything.
    """

    sections: list[str]
    presets: list[str]
    hydra: dict[str, Any]
    node: dict[str, Any]


def read_groups(primary: str, choices: Mapping[str, Any], searched: Sequence[str] = ()) -> Groups:
    """Return the groups of a primary config. With Hydra initialized.

    Hydra says only of an option that is chosen which section it fills, so the choices of a run are
    made once more, as far as its options still exist.

    Args:
        primary: The primary config.
        choices: Group to option: of a run that was composed from it.
        searched: Overrides of ``hydra.searchpath``.

    Raises:
        HydraException: The primary config cannot be composed.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    loader: Any = GlobalHydra.instance().config_loader()
    listed = loader.compute_defaults_list(primary, list(searched), RunMode.RUN)
    known = dict(listed.overrides.known_choices)
    own = {k: v for k, v in choices.items() if isinstance(v, str) and not _is_hydra(k)}
    chosen = [f"{'' if k in known else '+'}{k}={v}" for k, v in own.items() if "/" not in k]
    with suppress(HydraException):  # an option of that time is no longer there
        listed = loader.compute_defaults_list(primary, [*searched, *chosen], RunMode.RUN)
    known |= listed.overrides.known_choices
    sections = _sections(listed.defaults)
    _, repository = loader._parse_overrides_and_create_caching_repo(primary, list(searched))
    loaded = repository.load_config(primary)
    whole: Any = OmegaConf.to_container(loaded.config)
    # A group within a group that is not listed here belongs to the config that chooses it.
    listed_here = {getattr(each, "group", None) for each in loaded.defaults_list or []}
    presets = [k for k in reversed(known) if not _is_hydra(k) and k not in sections]
    return Groups(
        sections=sections,
        presets=[k for k in presets if k in listed_here or not {"/", "@"} & {*k}],
        hydra={k: v for k, v in known.items() if _is_hydra(k)},
        node=whole.get("hydra") or {},
    )


def _is_hydra(group: str) -> bool:
    return group == "hydra" or group.startswith("hydra/")


def _sections(defaults: Sequence[Any]) -> list[str]:
    folders = [(each.config_path.rpartition("/")[0], each.package) for each in defaults]
    own = [name for name, package in folders if name and name == package and "/" not in name]
    return [name for name in dict.fromkeys(own) if name != "hydra"]


@contextmanager
def configs_stored() -> Iterator[None]:
    """Forget after this block what is stored with Hydra's ``ConfigStore`` within it."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    before = _copied(store.repo)
    try:
        yield
    finally:
        store.repo = before


def _copied(repo: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in repo.items()}

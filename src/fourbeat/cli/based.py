"""What cannot be changed on top of a stored run's config, and why."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.cli.primary import Base
from fourbeat.config.compose import apply_overrides, compose_good
from fourbeat.config.overrides import parse_overrides, text_of, to_plain
from fourbeat.config.project import Project
from fourbeat.config.references import leaves
from fourbeat.config.resolve import resolve_config
from fourbeat.lightning.hydra import ConfigGroups, Override
from fourbeat.lightning.hydra_defaults import Groups
from fourbeat.sweeps.checks import sample_jobs


class Typed(NamedTuple):
    """Overrides: those that choose an option of a group, and those of single keys."""

    choices: list[Override]
    values: list[Override]

    @classmethod
    def of(cls, overrides: Sequence[str]) -> Typed:
        """Parse overrides, of which one may have several values. With Hydra initialized.

        Those that cannot be parsed are left to Hydra, as are those of its own keys.
        """
        parsed, _ = parse_overrides(overrides, sweeps=True)
        known = ConfigGroups(None, [text_of(o) for o in parsed if o.is_hydra_override()])
        found = [o for o in parsed if not o.is_hydra_override() and o.key_or_group != "from"]
        choices = [override for override in found if override.key_or_group in known]
        return cls(choices, [override for override in found if override not in choices])


def base_faults(project: Project, base: Base, groups: Groups, typed: Typed) -> list[Fault]:
    """Find overrides that would not mean what they say; those that Hydra refuses not among them.

    Args:
        project: Whose run it is.
        base: The run.
        groups: The groups of its primary config.
        typed: What is typed on top of it.
    """
    if base.composition.config:
        chosen = {override.key_or_group for override in typed.choices}
        again = [o for o in typed.choices if o.key_or_group in groups.presets]
        # With data=mnist, data/loading stands on a section that has nothing of the run.
        again = [
            o for o in again if o.key_or_group.partition("/")[0] not in chosen - {o.key_or_group}
        ]
        return [fault for override in again for fault in _preset_faults(base, override)]
    return [
        *(_group_fault(base, override) for override in typed.choices),
        *_dependents_faults(project, base, typed.values),
    ]


def _preset_faults(base: Base, override: Override) -> Iterator[Fault]:
    group = override.key_or_group
    option = base.composition.choices.get(group)
    if option is None or (override.value() is None and not override.is_delete()):
        return
    was = f"that run was composed with {group}={option}, whose settings are now the run's own"
    hint = "Change the keys that it set, or start without from=."
    yield Fault("not-from-a-run", text_of(override), "", was, hint)


def _group_fault(base: Base, override: Override) -> Fault:
    why = "that run has stored values alone, so nothing says what has to follow the choice"
    command = shlex.join(["python", "scripts/train.py", *base.overrides, text_of(override)])
    hint = f"Change single keys, {override.key_or_group}.NAME=VALUE, or start from scratch: "
    return Fault("not-from-a-run", text_of(override), "", why, f"{hint}{command}")


def _dependents_faults(
    project: Project, base: Base, overrides: Sequence[Override]
) -> Iterator[Fault]:
    """A run that stored values alone says nothing of references; today's ``conf`` does."""
    if not overrides:
        return
    today = _composed_today(project, base)
    typed = {override.key_or_group for override in overrides}
    for text in dict.fromkeys(text for job in sample_jobs(overrides) for text in job):
        key, _, value = text.lstrip("+").partition("=")
        moved = [k for k in _moved(today, text) if k not in typed]
        if moved:
            why = f"{', '.join(moved)} depended on it, and that run has stored values alone"
            each = " ".join(f"{name}=VALUE" for name in moved)
            yield Fault("not-from-a-run", key, value, why, f"Give {each} too.")


def _moved(today: dict[str, Any], text: str) -> list[str]:
    """The keys whose values an override of another one changes."""
    key = text.lstrip("+").partition("=")[0]
    config = OmegaConf.create(today)
    try:
        changed = apply_overrides(config, [text])
    except ConfigError:  # which Hydra refuses as well, or which is new: nothing depends on it
        return []
    was, now = (dict(leaves(resolve_config(each)[0])) for each in (config, changed))
    return [k for k in was if now.get(k) != was[k] and not f"{k}.".startswith(f"{key}.")]


def _composed_today(project: Project, base: Base) -> dict[str, Any]:
    overrides = [o for o in base.overrides if not o.startswith(("from=", "resume", "hydra"))]
    try:
        composed, _ = compose_good(project.conf_dir, overrides)
    except ConfigError:
        composed, _ = compose_good(project.conf_dir)
    return _with_references(base.config, to_plain(composed))


def _with_references(values: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values, but references where a config has them."""
    done = dict(values)
    for key in values.keys() & config.keys():
        if isinstance(values[key], Mapping) and isinstance(config[key], Mapping):
            done[key] = _with_references(values[key], config[key])
        elif isinstance(config[key], str) and "${" in config[key]:
            done[key] = config[key]
    return done

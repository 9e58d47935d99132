"""What a config was composed from, so that another run can be composed on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Composition:
    """A config before its references were resolved. All compositions are equal: configs compare.

    Attributes:
        primary: The primary config, e.g. ``train``; empty when nothing was composed.
        choices: The option of each group, e.g. ``{"optim": "adam", "experiment": None}``.
        config: The config with its references, e.g. ``${seed}``, and no key missing.
        resolved: What it was resolved to; not stored, the manifest has the run's.
    """

    primary: str = field(default="", compare=False)
    choices: dict[str, Any] = field(default_factory=dict, compare=False)
    config: dict[str, Any] = field(default_factory=dict, compare=False)
    resolved: dict[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Composition:
        """Return what a manifest has stored; empty where it has nothing that can be read."""
        stored = stored or {}
        values = stored.get("primary"), stored.get("choices"), stored.get("config")
        primary, choices, config = values
        if isinstance(primary, str) and isinstance(choices, dict) and isinstance(config, dict):
            return cls(primary, choices, config)
        return cls()

    def stored(self) -> dict[str, Any] | None:
        """Return plain values for a manifest; None when nothing was composed."""
        if not self.config:
            return None
        return {"primary": self.primary, "choices": self.choices, "config": self.config}

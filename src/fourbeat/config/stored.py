"""The config that a run stored, as this version of the engine and of the project reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fourbeat.base.errors import RunError
from fourbeat.config.project import Project
from fourbeat.config.schema import STANDARD_CALLBACKS, TrainConfig

GIVEN_LOADERS = "fourbeat.data.LoaderDataModule"
"""The data set of runs of :func:`fourbeat.fit` that no config can say."""


def read_config(project: Project, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config with present targets, and a default where a key is new.

    Args:
        project: Whose run it is.
        stored: The config in the run's manifest.
    """
    # A run that is stored is a run, and resumes none.
    current = project.with_current_targets(in_current_form(stored))
    config = {name: value for name, value in current.items() if name != "resume"}
    try:
        return TrainConfig.model_validate(config).plain()
    except ValidationError:  # which names the faults once the config is asked for
        return config


def in_current_form(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config whose callbacks stand where they stand today.

    They used to be in ``callbacks.extra``, and one of the standard callbacks that was not named was
    there all the same; today it is not.

    Args:
        config: Plain values; left as it was.
    """
    callbacks = config.get("callbacks")
    extra = callbacks.get("extra") if isinstance(callbacks, Mapping) else None
    if not isinstance(callbacks, Mapping) or not isinstance(extra, Mapping) or "_target_" in extra:
        return dict(config)
    own = {name: value for name, value in callbacks.items() if name != "extra"}
    return {**config, "callbacks": {**STANDARD_CALLBACKS.model_dump(), **own, **extra}}


def refuse_given_loaders(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a run that cannot be built from its config.

    Args:
        folder: The run folder.
        config: The config that it stored.

    Raises:
        RunError: It was trained on loaders that were given, by ``fit()``.
    """
    if has_given_loaders(config):
        raise RunError(
            f"{folder}: was trained by fourbeat.fit() on objects that no folder can hold. "
            "Call fit() again with data='module:function' and the model's class, or load its "
            "weights: python scripts/export.py writes them."
        )


def has_given_loaders(config: Mapping[str, Any]) -> bool:
    """Return whether a run cannot be built from its config: ``fit()`` was given its loaders.

    Args:
        config: The config that it stored.
    """
    data = config.get("data")
    return isinstance(data, Mapping) and data.get("_target_") == GIVEN_LOADERS

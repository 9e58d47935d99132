"""Configs that earlier versions have stored, in today's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_current_form(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored config whose callbacks stand where they stand today.

    They used to be in ``callbacks.extra``, and one of the standard callbacks that was not named was
    there all the same; today it is not.

    Args:
        config: Plain values; left as it was.
    """
    from fourbeat.config.schema import STANDARD_CALLBACKS

    callbacks = config.get("callbacks")
    extra = callbacks.get("extra") if isinstance(callbacks, Mapping) else None
    if not isinstance(callbacks, Mapping) or not isinstance(extra, Mapping) or "_target_" in extra:
        return dict(config)
    own = {name: value for name, value in callbacks.items() if name != "extra"}
    return {**config, "callbacks": {**STANDARD_CALLBACKS.model_dump(), **own, **extra}}

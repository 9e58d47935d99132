"""What Lightning's registry knows of a strategy, without building it."""

from __future__ import annotations

from lightning.pytorch.strategies import StrategyRegistry


def start_method_of(name: str) -> str | None:
    """Return how a registered strategy starts its processes: ``popen``, ``spawn`` and the like.

    Args:
        name: A name in the registry, or another one.

    Returns:
        The method; None where the registry says nothing.
    """
    method = (
        StrategyRegistry[name]["init_params"].get("start_method")
        if name in registered_names()
        else None
    )
    return None if method is None else str(method)


def registered_names() -> list[str]:
    """Return the names of all registered strategies."""
    found: list[str] = StrategyRegistry.available_strategies()
    return found

"""Numbers as they are printed."""

from __future__ import annotations

import math


def format_metric(value: float) -> str:
    """Return a metric as it is printed: four decimals, or a power of ten where they say nothing."""
    plain = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6
    return f"{value:.4f}" if plain else f"{value:.3e}"


def format_number(value: float | None) -> str:
    """Return a number in four significant digits or fewer; ``-`` where there is none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.4g}"


def format_factor(factor: float, value: float) -> str:
    """Return how many times its usual size a value is.

    Args:
        factor: The value divided by its usual size; infinite if that is 0, or the value NaN or Inf.
        value: The value.
    """
    if math.isfinite(factor):
        return f"x{factor:.3g}"
    return "no longer 0" if math.isfinite(value) else "NaN or Inf"


def format_pair(one: object, other: object) -> str:
    """Return two values side by side, numbers with as many digits as tell them apart."""
    if not (isinstance(one, float) and isinstance(other, float)):
        return f"{one} / {other}"
    if one == other:
        return f"{one:.4g} / {other:.4g}, of different values"
    digits = next((d for d in range(4, 17) if f"{one:.{d}g}" != f"{other:.{d}g}"), 17)
    return f"{one:.{digits}g} / {other:.{digits}g}"

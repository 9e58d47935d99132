"""Types of the Trainer's flags that take values of several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

OWN_REASON = "value_error"
"""What pydantic calls the errors below, whose text says what is allowed."""

_UNITS = ("weeks", "days", "hours", "minutes", "seconds")
_TIMES = (
    "must be days:hours:minutes:seconds, e.g. 00:12:00:00, or a mapping such as {hours: 12}, and "
    "more than nothing"
)


def _checked_time(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        counts = list(value.values())
        whole = all(type(count) is int and count >= 0 for count in counts)
        good = whole and set(value) <= set(_UNITS) and any(counts) and _is_length(dict(value))
    else:
        digits = str(value).split(":")
        good = isinstance(value, str) and len(digits) == 4 and all(d.isdecimal() for d in digits)
        good = good and all(len(d) == 2 for d in digits[1:]) and any(map(int, digits))
        good = good and _is_length(dict(zip(_UNITS[1:], map(int, digits), strict=True)))
    if not good:
        raise ValueError(_TIMES)
    return value


def _is_length(units: dict[str, int]) -> bool:
    try:
        timedelta(**units)
    except OverflowError:  # of more than 999,999,999 days
        return False
    return True


def _checked_interval(value: Any) -> Any:
    if isinstance(value, (str, Mapping)):
        raise ValueError(
            "must be a number of batches, or a fraction of an epoch: a time is not taken, for a "
            "clock cannot be resumed exactly"
        )
    return value


TimeUnit = Literal["weeks", "days", "hours", "minutes", "seconds"]

MaxTime = Annotated[str | dict[TimeUnit, int] | None, BeforeValidator(_checked_time)]
"""``DD:HH:MM:SS``, or numbers of units of time."""

CheckInterval = Annotated[
    Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0, le=1)],
    BeforeValidator(_checked_interval),
]
"""Batches between two validations (whole number), or a fraction of an epoch."""


def _checked_strategy(value: Any) -> Any:
    target = value.get("_target_") if isinstance(value, Mapping) else value
    if not (isinstance(target, str) and target):
        raise ValueError("must be the name of a strategy, or a mapping with a _target_")
    return value


StrategyChoice = Annotated[str | dict[str, Any], BeforeValidator(_checked_strategy)]
"""A name that Lightning has registered, or a leaf."""

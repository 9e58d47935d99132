"""Types of the Trainer's flags that take values of several kinds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

OWN_REASON = "value_error"
"""What pydantic calls the errors below, whose text says what is allowed."""

TimeUnit = Literal["weeks", "days", "hours", "minutes", "seconds"]

_TIMES = (
    "must be days:hours:minutes:seconds, e.g. 00:12:00:00, or a mapping such as {hours: 12}, and "
    "more than nothing"
)


def _checked_time(value: Any) -> Any:
    units = value
    if isinstance(value, str) and re.fullmatch(r"\d+(:\d\d){3}", value, re.ASCII):
        names = ("days", "hours", "minutes", "seconds")
        units = dict(zip(names, map(int, value.split(":")), strict=True))
    if value is not None and not (isinstance(units, Mapping) and _is_length(units)):
        raise ValueError(_TIMES)
    return value


def _is_length(units: Mapping[Any, Any]) -> bool:
    if not set(units) <= set(get_args(TimeUnit)):
        return False
    try:
        is_some = timedelta(**units) > timedelta()
    except (OverflowError, TypeError):  # of more than 999,999,999 days; of text
        return False
    return is_some and all(type(count) is int and count >= 0 for count in units.values())


def _checked_interval(value: Any) -> Any:
    if isinstance(value, (str, Mapping)):
        raise ValueError(
            "must be a number of batches, or a fraction of an epoch: a time is not taken, for a "
            "clock cannot be resumed exactly"
        )
    return value


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

"""What the import hook in conftest.py checks annotations with."""

from collections.abc import Callable, Sequence
from typing import Any

from beartype import BeartypeConf, beartype

# An int is a float where PEP 484 says so: YAML writes 0 for 0.0.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_of(rooms: Sequence[str]) -> Callable[..., Any]:
    """Return the check, the same for each room."""
    return check

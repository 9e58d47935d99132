"""What fourbeat promises of its speed, as ratios of medians of one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.arithmetic import UNKNOWN, Spread, ratio

Measured = Mapping[int, Mapping[str, Spread | None]]
"""Time per step in any one unit, by batch size and rival."""


class Promise(NamedTuple):
    """``slow`` takes at most, or at least, ``bound`` times as long as ``fast``.

    Attributes:
        slow: A rival.
        fast: Another.
        bound: The ratio.
        at_most: Whether the ratio may not be larger; otherwise it may not be smaller.
        batch_size: Samples per step.
    """

    slow: str
    fast: str
    bound: float
    at_most: bool
    batch_size: int

    @property
    def sign(self) -> str:
        """How the ratio is to the bound."""
        return "≤" if self.at_most else "≥"

    def kept(self, measured: float) -> bool:
        """Whether a ratio keeps it."""
        return measured <= self.bound if self.at_most else measured >= self.bound


def _at_least(slow: str, fast: str, bound: float, *batch_sizes: int) -> list[Promise]:
    return [Promise(slow, fast, bound, False, size) for size in batch_sizes]


PROMISES: list[Promise] = [
    *(Promise("fourbeat", "bare", 1.10, True, size) for size in (32, 128)),
    *(Promise("fourbeat_automatic", "bare_lightning", 1.05, True, size) for size in (32, 128)),
    # Whoever is on the right has its recorder on, as by default.
    *_at_least("tutorial", "fourbeat_recorded", 2.0, 32),
    *_at_least("lightning", "fourbeat_recorded", 3.0, 32),
    *_at_least("sklearn", "fourbeat_recorded", 1.0, 32, 128),
    *_at_least("skorch", "fourbeat_recorded", 1.0, 32, 128),
    *_at_least("keras_tensorflow", "fourbeat_recorded", 1.0, 32, 128),
    *_at_least("keras_tensorflow_spe", "fourbeat_recorded", 1.0, 32, 128),
    *_at_least("keras_torch", "fourbeat_recorded", 1.0, 32, 128),
    *_at_least("keras_jax", "fourbeat_compiled_recorded", 1.0, 32, 128),
    *_at_least("keras_jax_spe", "fourbeat_compiled_recorded", 1.0, 32, 128),
]


def promise_row(promise: Promise, measured: Measured) -> tuple[str, str, str, str]:
    """Return a promise's line of the table."""
    of_size = measured.get(promise.batch_size, {})
    found = ratio(of_size.get(promise.slow), of_size.get(promise.fast))
    what = f"`{promise.slow}` / `{promise.fast}`, batch {promise.batch_size}"
    bound = f"{promise.sign} {promise.bound:.2f}"
    if found is None:
        return what, bound, UNKNOWN, "not measured"
    return what, bound, f"{found:.2f}", "yes" if promise.kept(found) else "**no**"

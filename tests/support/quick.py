"""Which cases of a test with many are in the quick suite."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def quick_cases(names: Sequence[str], n: int) -> set[str]:
    """Return one name in ``n``, and at least one.

    Those of the smallest hashes: a case that somebody adds changes at most one of the others,
    where a count of positions would change them all.
    """
    by_hash = sorted(names, key=lambda name: zlib.crc32(name.encode()))
    return set(by_hash[: max(1, len(names) // n)])

"""Which cases of a test with many are in the quick suite."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def quick_cases(names: Sequence[str], n: int) -> set[str]:
    """Return about one name in ``n``, and at least one.

    By a hash of each name alone: a case that somebody adds leaves the others where they are, which
    a count of positions would not.
    """
    hashes = {name: zlib.crc32(name.encode()) for name in names}
    quick = {name for name, value in hashes.items() if value % n == 0}
    return quick or {min(hashes, key=hashes.__getitem__)}

"""Settings of the whole process that make arithmetic on the CPU faster."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# glibc's names for the settings of its allocator (malloc.h).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# The largest that glibc takes on 64 bits; by default 128 KiB, which grows as blocks are freed.
LARGEST_MMAP_THRESHOLD = 32 * 2**20
TRIM_THRESHOLD = 512 * 2**20


def set_up_process() -> None:
    """Flush denormal numbers to zero, and keep freed memory for the next step.

    Adam's moments of a unit that is never active decay into denormal numbers, on which a CPU is
    many times slower: without flushing, its step takes twice as long in a long run.

    Must come before torch starts its threads, which inherit the setting: those that run already
    keep theirs, whatever is done later (measured: with two threads, half of the numbers). Numbers
    below 1.2e-38 become 0 in the whole process from then on; of those that a network computes with,
    none should be missed. So only what trains, or repeats a training, calls it.
    """
    import torch

    torch.set_flush_denormal(True)
    _keep_freed_memory()


@contextmanager
def calling_thread_alone() -> Iterator[None]:
    """Compute within this block in the calling thread, so that torch starts no others."""
    import torch

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory that the next step allocates again.

    Otherwise it unmaps every large gradient and maps it again, page by page, in every step: 2 to
    20 % of the time of a small network's step. Other allocators are not changed.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


@contextmanager
def existing_objects_frozen() -> Iterator[None]:
    """Exclude all objects that exist so far from garbage collection within this block.

    What torch, Lightning and the compiler have imported is hundreds of thousands of objects that
    stay: traversing them takes a quarter of a second, in the middle of some epoch. Objects that are
    made within the block are collected as ever.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

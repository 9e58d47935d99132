"""The states of all random generators of a process, as plain data."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
"""What somebody may draw from, beside the global generators."""


def seed_generator(generator: Any, seed: int) -> None:
    """Seed one of :data:`GENERATORS`.

    Args:
        generator: Of any device.
        seed: Of at most 64 bits, not negative.
    """
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, np.random.Generator):
        bits: Any = generator.bit_generator
        bits.state = type(bits)(seed).state
    else:
        generator.seed(seed % 2**32)


def generator_states() -> dict[str, Any]:
    """Return the states of the generators of Python, numpy, torch and all GPUs, Apple's included.

    Returns:
        Tensors, numbers, lists and strings only: ``torch.load(weights_only=True)`` reads no others.
    """
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def set_generator_states(states: dict[str, Any]) -> None:
    """Restore the states of all generators; those of GPUs that are not present are skipped.

    Args:
        states: What :func:`generator_states` returned; the first versions had no ``mps`` in it.
    """
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    for index, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, index)
    if states.get("mps") is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])


def seed_generators(seed: int) -> None:
    """Seed all generators of this process; takes 15 us, and ``torch.manual_seed`` 400.

    Args:
        seed: Of at most 64 bits, not negative.
    """
    torch.default_generator.manual_seed(seed)
    # Without a GPU in use, torch would note the call for later, with where it came from.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def generators_seeded(seed: int | None = None) -> Iterator[None]:
    """Restore all generators at the end of this block.

    Args:
        seed: What they are seeded with at its start; None: they keep their states.
    """
    states = generator_states()
    try:
        if seed is not None:
            seed_generators(seed)
        yield
    finally:
        set_generator_states(states)

"""What a state may hold: what ``torch.load(weights_only=True)`` reads, which runs no code."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fourbeat.base.errors import RunError
from fourbeat.state.training_state import KEY, Checkpoint

PLAIN = frozenset(
    {type(None), bool, int, float, str, Tensor, nn.Parameter, torch.Size, torch.dtype, torch.device}
)
"""Types that torch is known to read; of others it is asked."""

ATTRIBUTED = (Tensor, nn.Parameter, OrderedDict)
"""Types of which torch writes and reads the attributes that Python code has set, too."""

MOST_INT_BITS = 8 * 255 - 1
"""Of an integer without its sign: pickle writes a longer one as torch does not read it."""

MOST_NESTED = 100
"""Containers within each other; what holds itself has no end of them."""

Key = Any


def refuse_code(checkpoint: Checkpoint, path: Path) -> None:
    """Refuse to write what could not be read again without running code.

    Args:
        checkpoint: A whole checkpoint.
        path: The file that it is for.

    Raises:
        RunError: With the first key whose value is of such a kind, and who holds it.
    """
    for keys, value in _unusual(checkpoint, ()):
        if len(keys) > MOST_NESTED:
            raise RunError(
                f"{path}: was not written: state{_place(keys[:4])}..., held by {_holder(keys)}, is "
                f"nested more than {MOST_NESTED} deep, or holds itself. Return a flatter value "
                "from its state_dict()."
            )
        if not _is_readable(value):
            kind = type(value)
            name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
            size = f" of {value.bit_length()} bits" if kind is int else ""
            raise RunError(
                f"{path}: was not written: state{_place(keys)}, held by {_holder(keys)}, is a "
                f"{name}{size}. A state may hold tensors, numbers (integers of up to "
                f"{MOST_INT_BITS} bits), texts, lists, tuples and dicts of these: only they are "
                "read without running code. Return such from its state_dict()."
            )


def _place(keys: tuple[Key, ...]) -> str:
    return "".join(f"[{key!r}]" for key in keys)


def _unusual(value: Any, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], Any]]:
    """All values, and keys of dicts, that are of no type that is known to be read."""
    kind = type(value)
    if kind in ATTRIBUTED:
        for name, attribute in vars(value).items():
            yield from _unusual(attribute, (*keys, name))
    if (kind is int and value.bit_length() > MOST_INT_BITS) or len(keys) > MOST_NESTED:
        yield keys, value
    elif kind in (dict, OrderedDict):
        for key, item in value.items():
            yield from _unusual(key, keys)
            yield from _unusual(item, (*keys, key))
    elif kind in (list, tuple):
        for index, item in enumerate(value):
            yield from _unusual(item, (*keys, index))
    elif kind not in PLAIN:
        yield keys, value


def find_tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in dicts, lists and tuples, however they are nested."""
    if isinstance(value, Tensor):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value
    for item in inner if isinstance(value, (Mapping, list, tuple)) else ():
        yield from find_tensors(item)


def _is_readable(value: Any) -> bool:
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:  # pickling calls code of the value's own, which may raise anything
        return False
    return True


def _holder(keys: tuple[Key, ...]) -> str:
    match keys:
        case ["callbacks", name, *_]:
            return f"the callback {name}"
        case ["state_dict", name, *_]:
            return f"the module ({name})"
        case ["optimizer_states" | "lr_schedulers" as kind, index, *_]:
            what = "optimizer" if kind == "optimizer_states" else "scheduler"
            return f"the {what} {index}"
        case [key, "processes", _, name, *_] if key == KEY:
            return f"what is registered as {name!r}"
        case [name, *_]:
            return f"{name}, a data module, a precision plugin or an on_save_checkpoint hook"
        case _:
            return "the state itself"

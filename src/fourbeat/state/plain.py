"""What a state may hold: what ``torch.load(weights_only=True)`` reads, which runs no code."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator
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
        if not _is_readable(value):
            where, kind = "".join(f"[{key!r}]" for key in keys), type(value)
            name = f"{kind.__module__}.{kind.__qualname__}"
            raise RunError(
                f"{path}: was not written: state{where}, held by {_holder(keys)}, is a {name}. A "
                "state may hold tensors, numbers, texts, lists, tuples and dicts of these: only "
                "they are read without running code. Return such from its state_dict()."
            )


def _unusual(value: Any, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], Any]]:
    """All values, and keys of dicts, that are of no type that is known to be read."""
    kind = type(value)
    if kind in PLAIN:
        return
    if kind in (dict, OrderedDict):
        for key, item in value.items():
            yield from _unusual(key, keys)
            yield from _unusual(item, (*keys, key))
    elif kind in (list, tuple):
        for index, item in enumerate(value):
            yield from _unusual(item, (*keys, index))
    else:
        yield keys, value


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

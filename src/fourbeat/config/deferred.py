"""L1: values that only the data set knows, ``${from_data:num_features}``, resolved late.

Reading them builds the DataModule (its constructor reads no file) and so imports torch. Until our
own keys are known to be good they stand as text, which every leaf accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fourbeat.config.leaves import instantiate

_deferring: ContextVar[bool] = ContextVar("fourbeat_deferring", default=False)


@contextmanager
def deferring() -> Iterator[None]:
    """Within this block ``${from_data:name}`` resolves to its own text, without torch."""
    token = _deferring.set(True)
    try:
        yield
    finally:
        _deferring.reset(token)


def _from_data(name: str, *, _root_: DictConfig) -> Any:
    if _deferring.get():
        return f"${{from_data:{name}}}"
    leaf = OmegaConf.to_container(_root_.data, resolve=True)
    assert isinstance(leaf, dict)
    datamodule = instantiate({str(key): value for key, value in leaf.items()})
    if not hasattr(datamodule, name):
        raise AttributeError(f"{type(datamodule).__name__} has no property {name!r}")
    return getattr(datamodule, name)


def register() -> None:
    """Make ``${from_data:...}`` known to OmegaConf; harmless when repeated."""
    OmegaConf.register_new_resolver("from_data", _from_data, replace=True)

"""Values that only the data set knows, ``${from_data:num_features}``, resolved late.

Reading them builds the DataModule (its constructor reads no file) and so imports torch. Until our
own keys are known to be good they stand as text, which every leaf accepts.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from fourbeat.config.leaves import instantiate

_deferring: ContextVar[bool] = ContextVar("fourbeat_deferring", default=False)
_given: ContextVar[Any] = ContextVar("fourbeat_given_data", default=None)


class _Built(NamedTuple):
    """The data module that the references of one config have been read from."""

    root: weakref.ref[DictConfig]
    leaf: dict[str, Any]
    datamodule: Any


_last: ContextVar[_Built | None] = ContextVar("fourbeat_last_data", default=None)


@contextmanager
def deferring() -> Iterator[None]:
    """Within this block ``${from_data:name}`` resolves to its own text, without torch."""
    token = _deferring.set(True)
    try:
        yield
    finally:
        _deferring.reset(token)


@contextmanager
def given_data(datamodule: object) -> Iterator[None]:
    """Within this block ``${from_data:name}`` reads from this data module and builds no other.

    Args:
        datamodule: What the config's ``data`` builds.
    """
    token = _given.set(datamodule)
    try:
        yield
    finally:
        _given.reset(token)


def _from_data(name: str, *, _root_: DictConfig) -> Any:
    if _deferring.get():
        return f"${{from_data:{name}}}"
    given = _given.get()
    datamodule = _data_of(_root_) if given is None else given
    if not hasattr(datamodule, name):
        raise AttributeError(f"{type(datamodule).__name__} has no property {name!r}")
    return getattr(datamodule, name)


def _data_of(root: DictConfig) -> Any:
    """Build the data module of a config, once for all references in it."""
    container = OmegaConf.to_container(root.data, resolve=True)
    assert isinstance(container, dict)
    leaf = {str(key): value for key, value in container.items()}
    last = _last.get()
    if last is None or last.root() is not root or last.leaf != leaf:
        last = _Built(weakref.ref(root), leaf, instantiate(leaf))
        _last.set(last)
    return last.datamodule


def register() -> None:
    """Make ``${from_data:...}`` known to OmegaConf; harmless when repeated."""
    OmegaConf.register_new_resolver("from_data", _from_data, replace=True)

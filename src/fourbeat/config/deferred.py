"""Values that only the data set knows, ``${from_data:num_features}``, resolved late.

Reading them builds the DataModule (its constructor reads no file) and so imports torch. Until our
own keys are known to be good they stand as text, which every leaf accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fourbeat.config.leaves import instantiate


class _Unknown:
    """A data set of which nothing is known yet: what it says is the reference to it."""

    def __getattr__(self, name: str) -> str:
        return f"${{from_data:{name}}}"


_given: ContextVar[Any] = ContextVar("fourbeat_given_data", default=None)
# The config whose references were read last, its section data, and what that has built.
_last: ContextVar[tuple[DictConfig | None, dict[str, Any], Any]] = ContextVar(
    "fourbeat_last_data", default=(None, {}, None)
)


def deferring() -> AbstractContextManager[None]:
    """Within this block ``${from_data:name}`` resolves to its own text, without torch."""
    return given_data(_Unknown())


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
    given = _given.get()
    datamodule = _data_of(_root_) if given is None else given
    for owner in (getattr(datamodule, "inner", None), datamodule):  # of a data module as it is
        if hasattr(owner, name):
            return getattr(owner, name)
    raise AttributeError(f"{type(datamodule).__name__} has no property {name!r}")


def _data_of(root: DictConfig) -> Any:
    """Build the data module of a config, once for all references in it."""
    container = OmegaConf.to_container(root.data, resolve=True)
    assert isinstance(container, dict)
    leaf = {str(key): value for key, value in container.items()}
    config, built, datamodule = _last.get()
    if config is not root or built != leaf:
        datamodule = instantiate(leaf)
        _last.set((root, leaf, datamodule))
    return datamodule


def register() -> None:
    """Make ``${from_data:...}`` known to OmegaConf; harmless when repeated."""
    OmegaConf.register_new_resolver("from_data", _from_data, replace=True)

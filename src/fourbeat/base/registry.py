"""What of a training has a state of its own, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


class Stateful(Protocol):
    """Something whose state can be read and restored."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors, which need not be copied."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""


@dataclass(frozen=True)
class StateFunctions:
    """A state that two functions read and restore.

    Attributes:
        read: Returns the state as plain data and tensors.
        restore: Is given what ``read`` returned.
    """

    read: Callable[[], dict[str, Any]]
    restore: Callable[[dict[str, Any]], None]

    def state_dict(self) -> dict[str, Any]:
        """Return what ``read`` returns."""
        return self.read()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.restore(state_dict)


class StateRegistry:
    """What is captured besides what Lightning's checkpoint holds, in each process.

    Attributes:
        micro_batches_per_step: Returns after how many micro-batches of an epoch no gradient is
            pending: only there can a training be captured.
        drops_gradients: Whether who plays a manual optimization drops the gradients of a step
            before it computes those of the next one.
    """

    def __init__(self, micro_batches_per_step: Callable[[], int] = lambda: 1) -> None:
        self.micro_batches_per_step = micro_batches_per_step
        self.drops_gradients = False
        self._entries: dict[str, Stateful] = {}
        self._before: list[Callable[[], None]] = []

    @property
    def names(self) -> list[str]:
        """The names of all that is registered, in the order in which it is restored."""
        return list(self._entries)

    def register(self, name: str, stateful: Stateful) -> None:
        """Have a state captured with each training state, and restored on resume.

        Args:
            name: The same in each run of the same config.
            stateful: What has the state.

        Raises:
            ValueError: There is something of that name.
        """
        if name in self._entries:
            raise ValueError(f"two states are registered as {name!r}")
        self._entries[name] = stateful

    def before_capture(self, flush: Callable[[], None]) -> None:
        """Have a function called before each capture, e.g. to write what is held back to logs."""
        self._before.append(flush)

    def flush(self) -> None:
        """Call what is to be called before a capture."""
        for flush in self._before:
            flush()

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return all states by name."""
        return {name: stateful.state_dict() for name, stateful in self._entries.items()}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        """Restore what of the registered has a state here; the rest stays as it is.

        Args:
            states: By name, with None for what had none.
        """
        for name, stateful in self._entries.items():
            if (state := states.get(name)) is not None:
                stateful.load_state_dict(state)


@runtime_checkable
class Registrant(Protocol):
    """A module, data module or callback with state that Lightning's checkpoints do not hold.

    What differs between processes, e.g., or what must be restored when the loops are about to run.
    """

    def register_state(self, registry: StateRegistry) -> None:
        """Register it; called at the start of each training."""

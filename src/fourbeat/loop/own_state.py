"""What a resumed run needs of the loop, besides what Lightning's checkpoint holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourbeat.loop.loop import Loop


class LoopState:
    """The running losses, what optimizers were built with, and the latest values of a step.

    Args:
        loop: Whose they are.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        loop = self._loop
        state = {"running_loss": loop.running.state_dict(), "built_with": loop.optim.state_dict()}
        state["logged"] = loop.task_log.values()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        loop = self._loop
        loop.running.load_state_dict(state["running_loss"], loop.task.device)
        loop.optim.load_state_dict(state.get("built_with"))
        loop.task_log.latest = dict(state.get("logged", {}))

"""What a resumed run needs of the loop, besides what Lightning's checkpoint holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourbeat.loop.loop import Loop


class LoopState:
    """The running losses, what optimizers were built with, and what callbacks may have changed.

    That is which parameters are frozen, and how many micro-batches a step has.

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
        state["frozen"] = [n for n, p in loop.task.named_parameters() if not p.requires_grad]
        if loop.group_size != loop.accumulate_grad_batches:
            state["group_size"] = loop.group_size
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        loop = self._loop
        loop.running.load_state_dict(state["running_loss"], loop.task.device)
        loop.optim.load_state_dict(state.get("built_with"))
        loop.task_log.latest = dict(state.get("logged", {}))
        if "frozen" in state:  # by the config, or by a callback
            for name, parameter in loop.task.named_parameters():
                parameter.requires_grad = name not in state["frozen"]
        if "group_size" in state:  # which a callback has set, within this epoch
            loop.trainer.accumulate_grad_batches = state["group_size"]

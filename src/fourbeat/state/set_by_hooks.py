"""What hooks and steps set on Trainer and parameters, and Lightning's checkpoints do not hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from fourbeat.base.hooks import overrides_any
from fourbeat.base.registry import StateRegistry

STEP_HOOKS = ("optimizer_step", "optimizer_zero_grad")


@dataclass
class SetByHooks:
    """Which parameters are trained, how many micro-batches a step has, and pending gradients.

    Where the gradients of a step are dropped before those of the next one are computed, as in
    Lightning's automatic optimization and in fourbeat's loops, none are pending between two steps,
    and none are held: they would make a state larger by the size of the weights. Elsewhere, in
    manual optimization and where the module has a hook of the step itself, all that exist are.

    Args:
        trainer: Of the training, before its first hook of an epoch.
        module: What it trains.
        registry: Says whether the module's player drops them.
    """

    trainer: Trainer
    module: LightningModule
    registry: StateRegistry
    _built_with: int = field(init=False)

    def __post_init__(self) -> None:
        self._built_with = self.trainer.accumulate_grad_batches

    @property
    def _may_be_pending(self) -> bool:
        drops = self.module.automatic_optimization or self.registry.drops_gradients
        return not drops or overrides_any(self.module, LightningModule, STEP_HOOKS)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data, and tensors that are not copied."""
        named = dict(self.module.named_parameters())
        state: dict[str, Any] = {
            "frozen": [name for name, each in named.items() if not each.requires_grad]
        }
        if self.trainer.accumulate_grad_batches != self._built_with:
            state["accumulate_grad_batches"] = self.trainer.accumulate_grad_batches
        if self._may_be_pending:
            state["gradients"] = {n: p.grad for n, p in named.items() if p.grad is not None}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        frozen, gradients = set(state["frozen"]), state.get("gradients")
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad = name not in frozen
            if gradients is not None:
                held: Tensor | None = gradients.get(name)
                parameter.grad = None if held is None else held.to(parameter.device, copy=True)
        # Else what the run has been built with holds, which may be another value by now.
        if (size := state.get("accumulate_grad_batches")) is not None:
            self.trainer.accumulate_grad_batches = size

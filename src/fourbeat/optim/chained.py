"""Several optimizers that step together, each with parameters of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fourbeat.base.errors import RunError

OWNER = "optimizer"
"""The key of a parameter group that names the optimizer which steps it."""


class ChainedOptimizer(Optimizer):
    """Steps several optimizers as one, of one loss: Muon for matrices, AdamW for all else.

    Its groups are theirs, and so is its state: what changes a group, as a schedule or a resume
    does, changes what the optimizer of the group steps with.

    Args:
        members: The optimizers by name; no parameter is in two of them.
    """

    def __init__(self, members: Mapping[str, Optimizer]) -> None:
        self.members = dict(members)
        groups = [
            {**group, OWNER: name} for name, own in members.items() for group in own.param_groups
        ]
        super().__init__(groups, {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, whose key ``optimizer`` names the one that steps it.

        Raises:
            RunError: It names none.
        """
        if (owner := param_group.get(OWNER)) not in self.members:
            names = ", ".join(self.members)
            raise RunError(
                f"a parameter group is added to the optimizers {names}, and does not say which of "
                f"them steps it: give the group the key {OWNER!r} with one of these names."
            )
        super().add_param_group({**self.members[owner].defaults, **param_group})

    def step(self, closure: Callable[[], Any] | None = None) -> Tensor | float | None:  # type: ignore[override]
        """Step each of them, once the closure, if there is one, has computed the gradients."""
        loss = None if closure is None else closure()
        for name, optimizer in self.members.items():
            # A resume replaces both, and the inspector adds groups.
            optimizer.state = self.state
            optimizer.param_groups = [g for g in self.param_groups if g[OWNER] == name]
            optimizer.step()
        return loss


def chained(optimizers: Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    """Return several optimizers as a single one, whose name is empty."""
    only, *others = optimizers.values()
    return {"": ChainedOptimizer(optimizers) if others else only}

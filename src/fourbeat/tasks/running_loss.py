"""The mean training losses, summed up without waiting for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from fourbeat.data.batches import map_tensors
from fourbeat.tasks.mean import TOTAL, Loss, Mean, as_sum, check_names

# Losses are added up this many at a time: one addition for each would cost as much as the optimizer
# of a small network. The number is fixed, not an execution's: a sum depends on where it is cut.
CAPACITY = 64


AddUp: TypeAlias = Callable[[Tensor], Tensor]


def weighted_sum(values: list[Tensor], weights: list[int]) -> Tensor:
    """Add up scalars, in float32 at least, where they are.

    Args:
        values: Scalars on one device, at least one.
        weights: A weight for each.
    """
    stacked = as_sum(torch.stack(values))
    if len(set(weights)) == 1:  # all but an epoch's last: no tensor to be copied to the device
        return stacked.sum() * weights[0]
    return torch.dot(stacked, stacked.new_tensor(weights))


class RunningLoss:
    """Means over samples: since the last reading, and over the epoch.

    Kept on the device; reading a mean is the only synchronisation.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._recent = self._epoch = _Sum()

    def update(self, loss: Loss, num_samples: int) -> None:
        """Add a mini-batch.

        Args:
            loss: Its mean, detached; must not be changed in place afterwards.
            num_samples: Its size: what a mean over samples weighs.
        """
        if isinstance(loss, Mean):
            weight = loss.weight
            self._add(as_sum(loss.total), as_sum(weight) if isinstance(weight, Tensor) else weight)
            return
        self._losses.append(loss)
        self._sizes.append(num_samples)
        if len(self._losses) == CAPACITY:
            self._add_up()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come in the epoch."""
        return not self._losses and not isinstance(self._epoch.total, Tensor)

    def recent(self) -> Tensor | None:
        """Return the mean since this was last called, or the epoch began; None: nothing came."""
        self._add_up()
        recent, self._recent = self._recent, _Sum()
        return recent.mean()

    def epoch(
        self, add_up: AddUp | None = None, device: torch.device | None = None
    ) -> Tensor | None:
        """Return the mean since the last call and start from zero; None if there is nothing.

        Args:
            add_up: Adds up over the processes.
            device: Where they add up, if this process has nothing.
        """
        self._add_up()
        epoch = self._epoch
        self._recent = self._epoch = _Sum()
        return epoch.mean() if add_up is None else epoch.over_processes(add_up, device)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been added so far: a sum depends on where it is cut, so nothing is."""
        return {
            "losses": torch.stack(self._losses) if self._losses else None,
            "sizes": list(self._sizes),
            "recent": tuple(self._recent),
            "epoch": tuple(self._epoch),
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue from a state.

        Args:
            state: What :meth:`state_dict` returned.
            device: Where the losses to come will be.
        """
        losses = state["losses"]
        self._losses = [] if losses is None else list(losses.to(device).unbind())
        self._sizes = list(state["sizes"])
        recent, epoch = (map_tensors(state[n], lambda t: t.to(device)) for n in ("recent", "epoch"))
        self._recent, self._epoch = _Sum(*recent), _Sum(*epoch)

    def _add_up(self) -> None:
        if not self._losses:
            return
        total, num_samples = weighted_sum(self._losses, self._sizes), sum(self._sizes)
        self._losses, self._sizes = [], []
        self._add(total, num_samples)

    def _add(self, total: Tensor, weight: Tensor | float) -> None:
        self._recent = self._recent.plus(total, weight)
        self._epoch = self._epoch.plus(total, weight)


class RunningLosses:
    """The running means of named losses.

    Args:
        has_total: Whether their sum is one of them, as ``loss``.
    """

    def __init__(self, *, has_total: bool = True) -> None:
        self._has_total = has_total
        self._named: dict[str, RunningLoss] = {}

    def update(self, losses: Mapping[str, Loss], num_samples: int) -> None:
        """Add a mini-batch.

        Args:
            losses: By name, detached.
            num_samples: Its size.
        """
        for name, loss in losses.items():
            if name not in self._named:
                check_names([*self._named, name])
                self._named[name] = RunningLoss()
            self._named[name].update(loss, num_samples)

    def recent(self) -> dict[str, Tensor]:
        """Return the means since this was last called, of those losses of which there are any."""
        return self._with_total({name: loss.recent() for name, loss in self._named.items()})

    @property
    def names(self) -> list[str]:
        """Names of the losses of which there has been any in the epoch."""
        return [name for name, loss in self._named.items() if not loss.is_empty]

    def epoch(
        self,
        add_up: AddUp | None = None,
        names: Iterable[str] | None = None,
        device: torch.device | None = None,
    ) -> dict[str, Tensor]:
        """Return the means of the epoch, and start from zero.

        Args:
            add_up: Adds up over the processes; None: there is one.
            names: Of the losses that some process has, in the same order in each.
            device: Where they add up.
        """
        found = self._named if names is None else names
        named = {name: self._named.get(name, RunningLoss()) for name in found}
        return self._with_total({n: loss.epoch(add_up, device) for n, loss in named.items()})

    def _with_total(self, means: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        found = {name: mean for name, mean in means.items() if mean is not None}
        if not found or TOTAL in found or not self._has_total:
            return found
        return {TOTAL: torch.stack(list(found.values())).sum(), **found}

    def state_dict(self) -> dict[str, Any]:
        """Return what has been added so far, by name; of a single loss alone, its own."""
        states = {name: loss.state_dict() for name, loss in self._named.items()}
        return states[TOTAL] if [*states] == [TOTAL] else states

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue from a state.

        Args:
            state: What :meth:`state_dict` returned.
            device: Where the losses to come will be.
        """
        is_single = isinstance(state.get("sizes"), list)  # else it is the state of a loss
        states = {TOTAL: state} if is_single else state
        self._named = {name: RunningLoss() for name in states}
        for name, loss in self._named.items():
            loss.load_state_dict(states[name], device)


class _Sum(NamedTuple):
    """A sum over samples, or of weights."""

    total: Tensor | float = 0.0
    weight: Tensor | float = 0

    def plus(self, total: Tensor, weight: Tensor | float) -> _Sum:
        return _Sum(self.total + total, self.weight + weight)

    def over_processes(self, add_up: AddUp, device: torch.device | None) -> Tensor | None:
        mean = self.mean()
        device = device if mean is None else mean.device
        pair = [torch.as_tensor(each, device=device) for each in self]
        total, weight = add_up(torch.stack([each.double() for each in pair])).unbind()
        return _Sum(total, weight).mean()  # 0 where no process has had any

    def mean(self) -> Tensor | None:
        """The total itself, if its weight is 0; None: nothing came."""
        return Mean(self.total, self.weight).value if isinstance(self.total, Tensor) else None

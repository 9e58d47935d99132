"""The mean training loss, summed up without waiting for the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Losses are added up this many at a time: one addition for each would cost as much as the optimizer
# of a small network. The number is fixed, not an execution's: a sum depends on where it is cut.
CAPACITY = 64


def weighted_sum(values: list[Tensor], weights: list[int]) -> Tensor:
    """Add up scalars, in float32 at least, where they are.

    Args:
        values: Scalars on one device, at least one.
        weights: A weight for each.
    """
    stacked = torch.stack(values)
    stacked = stacked.to(torch.promote_types(stacked.dtype, torch.float32))
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

    def update(self, loss: Tensor, num_samples: int) -> None:
        """Add a mini-batch.

        Args:
            loss: Its mean, detached; must not be changed in place afterwards.
            num_samples: Its size.
        """
        self._losses.append(loss)
        self._sizes.append(num_samples)
        if len(self._losses) == CAPACITY:
            self._add_up()

    def recent(self) -> Tensor:
        """Return the mean over the samples since this was last called, or the epoch began."""
        self._add_up()
        recent, self._recent = self._recent, _Sum()
        return recent.mean()

    def epoch(self) -> Tensor | None:
        """Return the mean since the last call and start from zero; None if there is nothing."""
        self._add_up()
        epoch = self._epoch
        self._recent = self._epoch = _Sum()
        return epoch.mean() if epoch.num_samples else None

    def state_dict(self) -> dict[str, Any]:
        """Return what has been added so far: a sum depends on where it is cut, so nothing is."""
        return {
            "losses": torch.stack(self._losses) if self._losses else None,
            "sizes": list(self._sizes),
            "recent": self._recent.plain(),
            "epoch": self._epoch.plain(),
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
        self._recent, self._epoch = (_Sum.of(state[n], device) for n in ("recent", "epoch"))

    def _add_up(self) -> None:
        if not self._losses:
            return
        total, num_samples = weighted_sum(self._losses, self._sizes), sum(self._sizes)
        self._recent = self._recent.plus(total, num_samples)
        self._epoch = self._epoch.plus(total, num_samples)
        self._losses, self._sizes = [], []


class _Sum:
    """A sum over samples."""

    def __init__(self, total: Tensor | float = 0.0, num_samples: int = 0) -> None:
        self.total = total
        self.num_samples = num_samples

    @classmethod
    def of(cls, plain: tuple[Tensor | float, int], device: torch.device) -> _Sum:
        total, num_samples = plain
        return cls(total.to(device) if isinstance(total, Tensor) else total, num_samples)

    def plain(self) -> tuple[Tensor | float, int]:
        return self.total, self.num_samples

    def plus(self, total: Tensor, num_samples: int) -> _Sum:
        return _Sum(self.total + total, self.num_samples + num_samples)

    def mean(self) -> Tensor:
        return torch.as_tensor(self.total) / max(self.num_samples, 1)

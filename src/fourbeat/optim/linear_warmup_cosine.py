"""The schedule of most transformers: linear warm-up, then a cosine down."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class LinearWarmupCosineLR(LRScheduler):
    r"""Raise the learning rate linearly to its peak, then lower it along half a cosine.

    With :math:`T` = ``total_steps``, :math:`W` = ``warmup_fraction`` times :math:`T` rounded, and
    :math:`r` = ``min_lr_ratio``, step :math:`t = 0, 1, \ldots` is taken at the peak times

    .. math::
        \frac{t + 1}{W + 1} \ (t < W), \qquad
        r + (1 - r)\,\frac{1}{2}\Bigl(1 + \cos\frac{\pi\,(t - W)}{T - W}\Bigr) \ (W \le t \le T),

    and :math:`r` from then on, so that a longer run stays at the floor. The first step
    has a rate above 0, step :math:`W` has the peak, once. The cosine is that of SGDR (Loshchilov
    and Hutter 2017, equation 5); the warm-up that of Goyal et al. 2017, section 2.2.

    The rate depends on the number of steps alone, not on the last rate: a loaded state continues
    exactly. The state holds plain numbers and lists, nothing that would need pickled code.

    Args:
        optimizer: Its learning rates are the peaks, one per parameter group.
        total_steps: Steps (or epochs, if it is stepped per epoch) from the first to the floor.
        warmup_fraction: Fraction of ``total_steps`` spent on the warm-up, in [0, 1).
        min_lr_ratio: The floor, as a fraction of the peak, in [0, 1].
        last_epoch: Index of the last step; -1 starts from the beginning.

    Raises:
        ValueError: When an argument is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup_fraction: float = 0.05,
        min_lr_ratio: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if total_steps < 1:
            raise ValueError(f"total_steps is {total_steps}: it must be at least 1")
        if not 0.0 <= warmup_fraction < 1.0:
            raise ValueError(
                f"warmup_fraction is {warmup_fraction}: it must be at least 0 and below 1"
            )
        if not 0.0 <= min_lr_ratio <= 1.0:
            raise ValueError(f"min_lr_ratio is {min_lr_ratio}: it must be between 0 and 1")
        self.total_steps = total_steps
        # At least one step is left for the way down.
        self.warmup_steps = min(round(warmup_fraction * total_steps), total_steps - 1)
        self.min_lr_ratio = min_lr_ratio
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Compute each parameter group's rate for the step to come.

        Returns:
            One rate per parameter group; `get_last_lr` gives them without computing.
        """
        ratio = self._ratio(self.last_epoch)
        return [ratio * peak for peak in self.base_lrs]

    def _ratio(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        way_down = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(way_down, 1.0)))
        return self.min_lr_ratio + (1.0 - self.min_lr_ratio) * cosine

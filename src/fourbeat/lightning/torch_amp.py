"""torch's GradScaler: the scale on the device, and what it knows of an optimizer's step."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.amp import GradScaler
from torch.amp.grad_scaler import OptState
from torch.optim import Optimizer


def scale_on_device(scaler: GradScaler) -> Tensor | None:
    """Return the loss scale as a tensor; None before the scaler was first used.

    Not ``get_scale()``, which waits for the device.
    """
    return scaler._scale


def is_unscaled(scaler: GradScaler, optimizer: Optimizer) -> bool:
    """Return whether the gradients have been unscaled since the optimizer's last step."""
    return _state(scaler, optimizer)["stage"] is OptState.UNSCALED


def found_infs(scaler: GradScaler, optimizer: Optimizer) -> list[Tensor]:
    """Return a scalar for each device, not 0 where a gradient is NaN or Inf.

    Read between ``unscale_`` and ``update``, which forgets them.
    """
    return list(_state(scaler, optimizer)["found_inf_per_device"].values())


def _state(scaler: GradScaler, optimizer: Optimizer) -> dict[str, Any]:
    return scaler._per_optimizer_states[id(optimizer)]

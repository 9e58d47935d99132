"""From a leaf to an optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fourbeat.base.errors import Fault
from fourbeat.config.leaves import Leaf, instantiate
from fourbeat.config.trial import find_faults
from fourbeat.optim.parameter_groups import parameter_groups


def build_optimizer(leaf: Leaf, module: nn.Module, device: torch.device | str = "cpu") -> Optimizer:
    """Build the optimizer of a module's trainable parameters.

    Args:
        leaf: The optimizer and its arguments, and one key of ours, ``exclude_from_weight_decay``: a
            list of ``bias`` and ``norm``. ``fused: true`` is a wish: where the device has no fused
            kernel for this optimizer, it is built without.
        module: What it trains.
        device: Where the module's parameters are when the optimizer steps.

    Returns:
        The optimizer; the leaf is left as it was.

    Raises:
        ValueError: When ``exclude_from_weight_decay`` is not such a list.
    """
    arguments = dict(leaf)
    exclude = arguments.pop("exclude_from_weight_decay", [])
    groups = parameter_groups(module, arguments.get("weight_decay"), exclude)
    if arguments.get("fused") and not _has_fused_kernel(arguments, groups, device):
        arguments["fused"] = False
    optimizer: Optimizer = instantiate(arguments, groups)
    return optimizer


def optimizer_faults(leaf: Leaf) -> list[Fault]:
    """Try an optimizer's config on a parameter of one number.

    Args:
        leaf: As for `build_optimizer`.

    Returns:
        Every fault found, each naming its key (``optim.betas``) with the optimizer's own reason;
        none when the optimizer can be built.
    """
    return find_faults("optim", leaf, lambda trial: build_optimizer(trial, one_parameter()))


def one_parameter() -> nn.Module:
    """Make a module with a single number to train, without touching the random number generator.

    Returns:
        The module, on the CPU.
    """
    return nn.ParameterList([nn.Parameter(torch.zeros(1))])


def _has_fused_kernel(
    arguments: dict[str, Any], groups: list[dict[str, Any]], device: torch.device | str
) -> bool:
    # torch keeps its lists of devices private and some optimizers have their own; most refuse at
    # the first step only. So take one, on a number of the same type in the same place.
    dtype = groups[0]["params"][0].dtype if groups else torch.float32
    try:
        parameter = nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
        parameter.grad = torch.zeros_like(parameter)
        instantiate(arguments, [parameter]).step()
    # Whatever else is wrong is reported when the optimizer itself is built.
    except Exception:
        return False
    return True

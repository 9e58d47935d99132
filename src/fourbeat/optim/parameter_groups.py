"""Which parameters an optimizer decays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

from torch import nn

from fourbeat.lightning.torch_modules import BATCH_NORM_BASE

Excludable = Literal["bias", "norm"]
"""What may be excluded from weight decay: biases, or all parameters of normalisation layers."""

# LocalResponseNorm has no parameters.
_NORM_LAYERS = (BATCH_NORM_BASE, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_groups(
    module: nn.Module, weight_decay: float | None, exclude: Sequence[Excludable]
) -> list[dict[str, Any]]:
    """Sort a module's trainable parameters into those that decay and those that do not.

    Decay pulls a weight towards zero so that no input counts too much; a bias or a norm's gain has
    no input to weigh, and pulling the gain to zero only shrinks the signal.

    Args:
        module: Its frozen parameters are excluded; a tied one appears once, under its first name.
        weight_decay: The decay of the group that has one, 0 or more; None for the optimizer's own.
        exclude: ``bias`` spares every parameter with "bias" in its own name (``bias_ih_l0`` and
            ``in_proj_bias`` too), ``norm`` every parameter of a normalisation layer, by its type.

    Returns:
        Groups for an optimizer, in the module's order, none of them empty. With nothing excluded
        there is one without a ``weight_decay`` of its own: the optimizer's holds.

    Raises:
        ValueError: When ``exclude`` holds anything else.
    """
    _check_exclude(exclude)
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for owner, name, parameter in _trainable_parameters(module):
        (spared if _is_spared(owner, name, exclude) else decayed).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decayed}]
    if exclude and weight_decay is not None:
        groups[0]["weight_decay"] = weight_decay
    groups.append({"params": spared, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _trainable_parameters(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    seen: set[nn.Parameter] = set()
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield owner, name, parameter


def _is_spared(owner: nn.Module, name: str, exclude: Sequence[Excludable]) -> bool:
    is_bias = "bias" in exclude and "bias" in name
    return is_bias or ("norm" in exclude and isinstance(owner, _NORM_LAYERS))


def _check_exclude(exclude: Any) -> None:
    allowed = get_args(Excludable)
    # A bare string is a sequence too, of characters.
    is_list = isinstance(exclude, Sequence) and not isinstance(exclude, str)
    if not is_list or not all(item in allowed for item in exclude):
        raise ValueError(
            f"exclude_from_weight_decay is {exclude!r}: it must be a list of {', '.join(allowed)}, "
            "or empty"
        )

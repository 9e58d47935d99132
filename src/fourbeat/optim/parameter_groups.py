"""Which parameters an optimizer has, with which numbers, and which of them it decays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from torch import nn

from fourbeat.lightning.torch_modules import BATCH_NORM_BASE
from fourbeat.optim.patterns import Globs, matches

Excludable = Literal["bias", "norm"]
"""What may be excluded from weight decay: biases, or all parameters of normalisation layers."""

# LocalResponseNorm has no parameters.
_NORM_LAYERS = (BATCH_NORM_BASE, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_groups(
    module: nn.Module,
    weight_decay: float | None,
    exclude: Sequence[Excludable],
    params: Globs = "*",
    groups: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Sort a module's trainable parameters by their numbers, and by whether they decay.

    Decay pulls a weight towards zero so that no input counts too much; a bias or a norm's gain has
    no input to weigh, and pulling the gain to zero only shrinks the signal.

    Args:
        module: Its frozen parameters are excluded; a tied one appears once, under its first name.
        weight_decay: The decay of the group that has one, 0 or more; None for the optimizer's own.
        exclude: ``bias`` spares every parameter with "bias" in its own name (``bias_ih_l0`` and
            ``in_proj_bias`` too), ``norm`` every parameter of a normalisation layer, by its type.
        params: Patterns over the names of those that the optimizer has.
        groups: Other numbers, e.g. ``lr``, for those of them whose names match ``params``.

    Returns:
        Groups for an optimizer, none of them empty: in the order of ``groups``, then the rest, each
        in the module's order, those that decay before those that do not. With nothing excluded
        the rest has no ``weight_decay`` of its own: the optimizer's holds.

    Raises:
        ValueError: When ``exclude`` holds anything else.
    """
    _check_exclude(exclude)
    left = [each for each in _trainable_parameters(module) if matches(each.name, params)]
    found: list[dict[str, Any]] = []
    for group in groups:
        numbers = {key: value for key, value in group.items() if key != "params"}
        found += _split([p for p in left if matches(p.name, group["params"])], exclude, numbers)
        left = [p for p in left if not matches(p.name, group["params"])]
    own = {"weight_decay": weight_decay} if exclude and weight_decay is not None else {}
    found += _split(left, exclude, own)
    return [group for group in found if group["params"]]


class _Owned(NamedTuple):
    """A parameter, its name, and the module that it is an attribute of."""

    name: str
    owner: nn.Module
    parameter: nn.Parameter


def _split(
    parameters: Sequence[_Owned], exclude: Sequence[Excludable], numbers: Mapping[str, Any]
) -> list[dict[str, Any]]:
    spared = [each.parameter for each in parameters if _is_spared(each, exclude)]
    decayed = [each.parameter for each in parameters if not _is_spared(each, exclude)]
    without = {**numbers, "weight_decay": 0.0}
    return [{"params": decayed, **numbers}, {"params": spared, **without}]


def _trainable_parameters(module: nn.Module) -> list[_Owned]:
    return [
        _Owned(name, module.get_submodule(name.rpartition(".")[0]), parameter)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]


def _is_spared(each: _Owned, exclude: Sequence[Excludable]) -> bool:
    is_bias = "bias" in exclude and "bias" in each.name.rpartition(".")[2]
    return is_bias or ("norm" in exclude and isinstance(each.owner, _NORM_LAYERS))


def _check_exclude(exclude: Any) -> None:
    allowed = get_args(Excludable)
    # A bare string is a sequence too, of characters.
    is_list = isinstance(exclude, Sequence) and not isinstance(exclude, str)
    if not is_list or not all(item in allowed for item in exclude):
        raise ValueError(
            f"exclude_from_weight_decay is {exclude!r}: it must be a list of {', '.join(allowed)}, "
            "or empty"
        )

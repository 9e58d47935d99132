"""From a leaf to an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fourbeat.base.errors import Fault
from fourbeat.config.leaves import Leaf, instantiate
from fourbeat.config.suggest import did_you_mean
from fourbeat.config.trial import find_faults
from fourbeat.config.typed import format_value
from fourbeat.lightning.torch_optim import requires_closure
from fourbeat.optim.parameter_groups import parameter_groups


def build_optimizer(leaf: Leaf, module: nn.Module, device: torch.device | str = "cpu") -> Optimizer:
    """Build the optimizer of a module's trainable parameters.

    Args:
        leaf: The optimizer and its arguments, and keys of ours. ``exclude_from_weight_decay``: a
            list of ``bias`` and ``norm``. ``params``: which parameters it trains, patterns over
            their names. ``groups``: other numbers for some of them. ``fused: true`` is a wish:
            where the device has no fused kernel for this optimizer, or gradients are sparse, it is
            built without.
        module: What it trains.
        device: Where the module's parameters are when the optimizer steps.

    Returns:
        The optimizer; the leaf is left as it was.

    Raises:
        ValueError: When ``exclude_from_weight_decay`` is not such a list.
    """
    arguments = dict(leaf)
    exclude = arguments.pop("exclude_from_weight_decay", [])
    params, others = arguments.pop("params", None), arguments.pop("groups", [])
    decay = arguments.get("weight_decay")
    groups = parameter_groups(module, decay, exclude, params or "*", others)
    if arguments.get("fused") and (
        has_sparse_gradients(module) or not _has_fused_kernel(arguments, groups, device)
    ):
        arguments["fused"] = False
    optimizer: Optimizer = instantiate(arguments, groups)
    return optimizer


def optimizer_faults(leaf: Leaf, key: str = "optim") -> list[Fault]:
    """Try an optimizer's config, and that of each of its groups, on a parameter of one number.

    Args:
        leaf: As for `build_optimizer`.
        key: Where it stands.

    Returns:
        Every fault found, each naming its key (``optim.betas``) with the optimizer's own reason;
        none when the optimizer can be built.
    """
    found = find_faults(key, leaf, trial_optimizer)
    groups = {} if found else {f"{key}.groups.{i}": g for i, g in enumerate(leaf.get("groups", []))}
    return [*found, *(f for at, group in groups.items() for f in _group_faults(leaf, at, group))]


def _group_faults(leaf: Leaf, key: str, group: Mapping[str, Any]) -> list[Fault]:
    """What the optimizer says of a group's numbers; torch takes any key of a group for a number."""
    known = trial_optimizer(leaf).defaults
    numbers = {name: value for name, value in group.items() if name != "params"}
    unknown = [
        Fault(
            *("unknown-argument", f"{key}.{name}", format_value(value)),
            f"is no hyperparameter of {leaf['_target_']}",
            did_you_mean(name, known, f"{key}.", f"={format_value(value)}"),
        )
        for name, value in numbers.items()
        if name not in known
    ]
    return unknown or find_faults(key, {**leaf, **numbers}, trial_optimizer)


def trial_optimizer(leaf: Leaf) -> Optimizer:
    """Build an optimizer of a single number, whichever parameters the leaf is for.

    Without touching the random number generator.

    Args:
        leaf: As for `build_optimizer`.

    Returns:
        The optimizer, on the CPU.
    """
    own = {key: value for key, value in leaf.items() if key not in ("params", "groups")}
    # Of two dimensions: some take no others.
    return build_optimizer(own, nn.ParameterList([nn.Parameter(torch.zeros(1, 1))]))


def has_sparse_gradients(module: nn.Module) -> bool:
    """Return whether an embedding of a network has sparse gradients, which few optimizers take."""
    return any(_is_sparse(each) for each in module.modules())


def network_faults(leaf: Leaf, module: nn.Module, key: str = "optim") -> list[Fault]:
    """Find why an optimizer does not take a network's parameters, or their gradients.

    Args:
        leaf: As for `build_optimizer`; it is right by itself.
        module: What it is to train; on any device.
        key: Where the leaf stands.
    """
    target, plain = str(leaf["_target_"]), {**leaf, "fused": False} if "fused" in leaf else leaf
    try:
        optimizer = build_optimizer(plain, module)
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        sparse = {id(p) for m in module.modules() if _is_sparse(m) for p in m.parameters()}
        if not requires_closure(type(optimizer)):
            own = {name: v for name, v in plain.items() if name not in ("params", "groups")}
            for is_sparse in {parameter in sparse for parameter in owned}:
                _try_step(own, is_sparse=is_sparse)
    except Exception as error:  # somebody's optimizer may raise anything
        cause = error.__cause__ or error
        why = f"does not take the network's parameters: {cause or type(cause).__name__}"
        hint = f"{key}.params names those that it trains; or choose another optimizer."
        return [Fault("impossible-together", f"{key}._target_", target, why, hint)]
    return []


def _is_sparse(module: nn.Module) -> bool:
    return isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.sparse


def _try_step(leaf: Leaf, *, is_sparse: bool) -> None:
    optimizer = trial_optimizer(leaf)
    getattr(optimizer, "train", bool)()  # of one that has modes
    parameter = optimizer.param_groups[0]["params"][0]
    gradient = torch.zeros_like(parameter)
    parameter.grad = gradient.to_sparse() if is_sparse else gradient
    optimizer.step(lambda: 0.0)


def _has_fused_kernel(
    arguments: dict[str, Any], groups: list[dict[str, Any]], device: torch.device | str
) -> bool:
    # torch keeps its lists of devices private and some optimizers have their own; most refuse at
    # the first step only. So take one, on a number of the same type in the same place.
    dtype = groups[0]["params"][0].dtype if groups else torch.float32
    try:
        parameter = nn.Parameter(torch.zeros(1, 1, device=device, dtype=dtype))
        parameter.grad = torch.zeros_like(parameter)
        instantiate(arguments, [parameter]).step()
    # Whatever else is wrong is reported when the optimizer itself is built.
    except Exception:
        return False
    return True

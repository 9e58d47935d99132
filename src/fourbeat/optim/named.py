"""Several optimizers by name: which parameters each of them trains, and its scheduler."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.sections import OptimConfig, SchedulerConfig, key_of, named
from fourbeat.config.typed import format_value
from fourbeat.optim.optimizer import build_optimizer
from fourbeat.optim.patterns import Globs, list_names, matches, unmatched_faults
from fourbeat.optim.scheduler import Horizon, SchedulerPlan, build_scheduler


def build_optimizers(
    section: OptimConfig | dict[str, OptimConfig],
    net: nn.Module,
    device: torch.device | str = "cpu",
) -> dict[str, Optimizer]:
    """Build the optimizers of a network, after its frozen parameters are so.

    Args:
        section: One leaf, or leaves by name.
        net: What they train, each the parameters whose names match its ``params``.
        device: Where the network's parameters are when the optimizers step.

    Returns:
        Each optimizer by its name; the name of a single one is "".

    Raises:
        ConfigError: As :func:`ownership_faults` finds.
    """
    leaves = named(section)
    raise_faults(ownership_faults(leaves, net))
    return {name: build_optimizer(leaf.leaf(), net, device) for name, leaf in leaves.items()}


def build_schedulers(
    section: SchedulerConfig | dict[str, SchedulerConfig],
    optimizers: Mapping[str, Optimizer],
    horizons: Mapping[str, Horizon],
) -> dict[str, SchedulerPlan]:
    """Build the scheduler of each optimizer.

    Args:
        section: One leaf, of which each optimizer gets its own scheduler, or leaves by name.
        optimizers: By name.
        horizons: How many steps each of them will make, by the same names.

    Returns:
        Each plan by the optimizer's name.
    """
    leaves = section if isinstance(section, dict) else dict.fromkeys(optimizers, section)
    return {
        name: build_scheduler(leaves[name].leaf(), optimizer, horizons[name])
        for name, optimizer in optimizers.items()
    }


def ownership_faults(leaves: Mapping[str, OptimConfig], net: nn.Module) -> list[Fault]:
    """Compare the patterns of optimizers, and of their groups, with a network's parameters.

    Args:
        leaves: The optimizers by name.
        net: With its frozen parameters; may lie on the meta device.

    Returns:
        A fault for each pattern that matches nothing to train, for parameters that two patterns
        match, and for those that no optimizer trains.
    """
    names = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    if not names:
        why = "has no parameter left to train" if [*net.parameters()] else "has no parameters"
        return [Fault("not-trained", "model", "", why, "Leave some out of freeze.")]
    owners = {key_of("optim", name): leaf.params or "*" for name, leaf in leaves.items()}
    params = {f"{key}.params": globs for key, globs in owners.items()}
    faults = _claim_faults(params, names, net, "matches no parameter that is trained")
    for name, leaf in leaves.items():
        key = key_of("optim", name)
        own = [n for n in names if matches(n, owners[key])]
        groups = {f"{key}.groups.{i}.params": group.params for i, group in enumerate(leaf.groups)}
        faults += _claim_faults(groups, own, net, f"matches no parameter that {key} trains")
    left = [n for n in names if not any(matches(n, globs) for globs in owners.values())]
    # A pattern that was mistyped is the cause, most likely.
    if left and not faults:
        why, some = f"no optimizer trains {list_names(left)}", left[0].rpartition(".")[0] or left[0]
        hint = f"Add a pattern to the params of one, or freeze them, e.g. freeze=[{some}.*]."
        faults.append(Fault("not-trained", "optim", "", why, hint))
    return faults


def _claim_faults(
    claims: Mapping[str, Globs], names: list[str], net: nn.Module, unmatched: str
) -> list[Fault]:
    """Patterns without a match, and parameters that two of them match."""
    faults, owner = [], dict[str, str]()
    for key, globs in claims.items():
        faults += unmatched_faults(key, globs, names, net, unmatched)
        mine = [name for name in names if matches(name, globs)]
        for other in dict.fromkeys(owner[name] for name in mine if name in owner):
            both = [name for name in mine if owner.get(name) == other]
            why = f"matches {list_names(both)}, as {other}={format_value(claims[other])} does"
            hint = "Let each parameter match one of them."
            faults.append(Fault("matched-twice", key, format_value(globs), why, hint))
        owner |= {name: key for name in mine if name not in owner}
    return faults

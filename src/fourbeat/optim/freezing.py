"""Parameters that are not trained, and normalisation layers that keep their statistics."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from fourbeat.base.errors import Fault
from fourbeat.lightning.torch_modules import BATCH_NORM_BASE
from fourbeat.optim.patterns import Globs, matches, unmatched_faults


def freeze(net: nn.Module, globs: Globs) -> list[str]:
    """Freeze parts of a network, before its optimizer is built.

    Args:
        net: Its parameters get ``requires_grad=False`` where a pattern matches their own name, or
            that of a module that holds them.
        globs: Patterns over the names of parameters and modules, e.g. ``backbone.*``.

    Returns:
        The names of the normalisation layers whose running statistics are to stay as they are, for
        :func:`keep_statistics`, which has been called once: those in a module that is frozen, and
        those of which all parameters are.
    """
    frozen = {module for name, module in net.named_modules() if name and matches(name, globs)}
    inside = {each for module in frozen for each in module.modules()}
    by_name = {parameter for name, parameter in net.named_parameters() if matches(name, globs)}
    for parameter in by_name.union(*(module.parameters() for module in frozen)):
        parameter.requires_grad_(False)
    kept = [
        name
        for name, module in net.named_modules()
        if isinstance(module, BATCH_NORM_BASE)
        and (module in inside or ((own := {*module.parameters()}) and own <= by_name))
    ]
    keep_statistics(net, kept)
    return kept


def keep_statistics(net: nn.Module, layers: Iterable[str]) -> None:
    """Put layers into evaluation mode, in which a normalisation layer keeps its statistics.

    To be called whenever the network has been put into training mode.

    Args:
        net: The network.
        layers: What :func:`freeze` has returned.
    """
    for name in layers:
        net.get_submodule(name).eval()


def freeze_faults(net: nn.Module, globs: Globs) -> list[Fault]:
    """Find patterns of ``freeze`` that match neither a parameter nor a module with parameters."""
    modules = [
        n for n, module in net.named_modules() if n and any(True for _ in module.parameters())
    ]
    names = [*(name for name, _ in net.named_parameters()), *modules]
    why = "matches no parameter and no module of the network"
    return unmatched_faults("freeze", globs, names, net, why)

"""Patterns over the names of a network's parameters, globs as in a shell; what they freeze."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from torch import nn

from fourbeat.base.errors import Fault
from fourbeat.config.suggest import did_you_mean
from fourbeat.lightning.torch_modules import BATCH_NORM_BASE

Globs: TypeAlias = str | Sequence[str]
"""One pattern or several; ``*`` matches dots as well."""

# Of the names that a message lists.
_MOST_NAMES = 3
_MOST_SUGGESTED = 8


def as_list(globs: Globs) -> list[str]:
    """Return patterns as a list."""
    return [globs] if isinstance(globs, str) else list(globs)


def matches(name: str, globs: Globs) -> bool:
    """Return whether one of the patterns matches a name; upper and lower case differ."""
    return any(fnmatchcase(name, glob) for glob in as_list(globs))


def list_names(names: Collection[str]) -> str:
    """Write names for a message: the first few, then how many more."""
    first, rest = list(names)[:_MOST_NAMES], len(names) - _MOST_NAMES
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")


def unmatched_faults(
    key: str, globs: Globs, names: Collection[str], net: nn.Module, why: str
) -> list[Fault]:
    """Find the patterns that match nothing, with the nearest that match something.

    Args:
        key: Where they stand in the config.
        globs: The patterns.
        names: What they may match.
        net: Whose modules are suggested, beside the names.
        why: What is wrong with such a pattern.
    """
    wrong = [glob for glob in as_list(globs) if not any(fnmatchcase(n, glob) for n in names)]
    return [
        Fault("unmatched-pattern", key, glob, why, _nearest(glob, names, net)) for glob in wrong
    ]


def _nearest(glob: str, names: Iterable[str], net: nn.Module) -> str:
    modules = {f"{name}.*" for name, _ in net.named_modules() if name}
    valid = [m for m in sorted(modules) if any(fnmatchcase(n, m) for n in names)]
    near = did_you_mean(glob, [*valid, *names], lists_all=False)
    top = [m for m in valid if m.count(".") == 1] or list(names)
    shown = ", ".join(top[:_MOST_SUGGESTED]) + (", ..." if len(top) > _MOST_SUGGESTED else "")
    return near or (f"There are: {shown}." if shown else "")


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

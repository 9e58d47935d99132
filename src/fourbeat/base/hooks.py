"""Which hooks somebody uses: the methods of a class that do nothing unless they are overridden."""

from __future__ import annotations

from collections.abc import Iterable


def overrides_any(instance: object, base: type, hooks: Iterable[str]) -> bool:
    """Return whether an object has methods of its own in the place of some of its base class's.

    Args:
        instance: Of a subclass of ``base``; a method set on the instance itself counts too.
        base: Where the hooks do nothing.
        hooks: Their names.
    """
    for hook in hooks:
        method = getattr(instance, hook)
        if getattr(method, "__func__", method) is not getattr(base, hook):
            return True
    return False

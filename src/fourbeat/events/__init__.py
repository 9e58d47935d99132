"""What happens within an optimizer step, and who observes it."""

from fourbeat.events.hooks import Hooks, OwnHook, find_leaves
from fourbeat.events.observer import Beats, GradientNorms, Norms, Observer

__all__ = ["Beats", "GradientNorms", "Hooks", "Norms", "Observer", "OwnHook", "find_leaves"]

"""L2: what happens within an optimizer step, and who is told."""

from fourbeat.events.observer import Beats, GradientNorms, Norms, Observer

__all__ = ["Beats", "GradientNorms", "Norms", "Observer"]

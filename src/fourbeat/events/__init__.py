"""L2: what happens within an optimizer step, and who is told."""

from fourbeat.events.observer import Beats, Observer

__all__ = ["Beats", "Observer"]

"""The loops: they play the beats of a task, or leave them to Lightning."""

from fourbeat.loop.automatic import AutomaticLoop
from fourbeat.loop.backend import Backend
from fourbeat.loop.four_beat import FourBeatLoop
from fourbeat.loop.lightning_loop import LightningLoop
from fourbeat.loop.loop import Loop
from fourbeat.loop.precision import MixedPrecision

__all__ = ["AutomaticLoop", "Backend", "FourBeatLoop", "LightningLoop", "Loop", "MixedPrecision"]

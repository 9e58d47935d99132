"""The loops: LightningModules that play the beats, or leave them to Lightning."""

from fourbeat.loop.automatic import AutomaticModule
from fourbeat.loop.backend import Backend
from fourbeat.loop.four_beat import FourBeatModule
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.supervised import SupervisedModule

__all__ = ["AutomaticModule", "Backend", "FourBeatModule", "MixedPrecision", "SupervisedModule"]

"""L3: LightningModules: who plays the beats."""

from fourbeat.loop.automatic import AutomaticModule
from fourbeat.loop.four_beat import FourBeatModule
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.supervised import SupervisedModule

__all__ = ["AutomaticModule", "FourBeatModule", "MixedPrecision", "SupervisedModule"]

"""L3: LightningModules: what is trained, and who plays the beats."""

from fourbeat.modules.automatic import AutomaticModule
from fourbeat.modules.four_beat import FourBeatModule
from fourbeat.modules.losses import LossTask, OneLogit, adapted, loss_faults
from fourbeat.modules.metrics import metrics_for
from fourbeat.modules.precision import MixedPrecision
from fourbeat.modules.supervised import SupervisedModule

__all__ = [
    "AutomaticModule",
    "FourBeatModule",
    "LossTask",
    "MixedPrecision",
    "OneLogit",
    "SupervisedModule",
    "adapted",
    "loss_faults",
    "metrics_for",
]

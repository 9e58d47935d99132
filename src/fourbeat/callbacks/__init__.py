"""Callbacks and loggers: progress, stopping, the confusion matrix, a resumable CSV table."""

from fourbeat.callbacks.confusion_matrix import ConfusionMatrixPicture
from fourbeat.callbacks.csv import CSVLogger
from fourbeat.callbacks.monitors import MonitorCheck
from fourbeat.callbacks.optimizer_modes import OptimizerModes, has_modes
from fourbeat.callbacks.progress import EpochLines, ProgressBar, progress_callback
from fourbeat.callbacks.stopping import StopWithoutImprovement, TimeLimit

__all__ = [
    "CSVLogger",
    "ConfusionMatrixPicture",
    "EpochLines",
    "MonitorCheck",
    "OptimizerModes",
    "ProgressBar",
    "StopWithoutImprovement",
    "TimeLimit",
    "has_modes",
    "progress_callback",
]

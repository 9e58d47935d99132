"""L3: callbacks and loggers of ours: progress, the confusion matrix drawn, a table that goes on."""

from fourbeat.callbacks.confusion_matrix import ConfusionMatrixPicture
from fourbeat.callbacks.csv import CSVLogger
from fourbeat.callbacks.progress import EpochLines, ProgressBar, progress_callback

__all__ = ["CSVLogger", "ConfusionMatrixPicture", "EpochLines", "ProgressBar", "progress_callback"]

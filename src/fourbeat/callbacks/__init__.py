"""Callbacks and loggers: progress, the confusion matrix as a picture, a resumable CSV table."""

from fourbeat.callbacks.confusion_matrix import ConfusionMatrixPicture
from fourbeat.callbacks.csv import CSVLogger
from fourbeat.callbacks.progress import EpochLines, ProgressBar, progress_callback

__all__ = ["CSVLogger", "ConfusionMatrixPicture", "EpochLines", "ProgressBar", "progress_callback"]

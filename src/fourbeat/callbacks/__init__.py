"""L3: callbacks of ours: progress, the confusion matrix drawn."""

from fourbeat.callbacks.confusion_matrix import ConfusionMatrixPicture
from fourbeat.callbacks.progress import EpochLines, ProgressBar, progress_callback

__all__ = [
    "ConfusionMatrixPicture",
    "EpochLines",
    "ProgressBar",
    "progress_callback",
]

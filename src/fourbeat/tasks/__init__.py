"""What is learned: the Task contract, losses, and the metrics that judge."""

from fourbeat.tasks.aligned import AlignedSupervised
from fourbeat.tasks.losses import LossTask, NoLoss, OneLogit, adapt_loss
from fourbeat.tasks.mean import Loss, Losses, LossTypeError, Mean
from fourbeat.tasks.metrics import choose_metrics, metric_leaves
from fourbeat.tasks.supervised import Supervised
from fourbeat.tasks.task import Player, Task

__all__ = [
    "AlignedSupervised",
    "Loss",
    "LossTask",
    "LossTypeError",
    "Losses",
    "Mean",
    "NoLoss",
    "OneLogit",
    "Player",
    "Supervised",
    "Task",
    "adapt_loss",
    "choose_metrics",
    "metric_leaves",
]

"""L3: what is learned: losses, and the metrics that judge."""

from fourbeat.tasks.losses import LossTask, OneLogit, adapt_loss, loss_faults
from fourbeat.tasks.metrics import metrics_for

__all__ = ["LossTask", "OneLogit", "adapt_loss", "loss_faults", "metrics_for"]

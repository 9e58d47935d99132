"""What is learned: losses, and the metrics that judge."""

from fourbeat.tasks.losses import LossTask, OneLogit, adapt_loss, loss_faults
from fourbeat.tasks.metrics import choose_metrics

__all__ = ["LossTask", "OneLogit", "adapt_loss", "choose_metrics", "loss_faults"]

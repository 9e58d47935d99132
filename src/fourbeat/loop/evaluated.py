"""What is measured on the validation and test splits, whoever trains the network."""

from __future__ import annotations

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection

from fourbeat.base.shapes import Float, Shaped
from fourbeat.data import Batch
from fourbeat.loop.backend import LoaderItem, mini_batches
from fourbeat.tasks.split_metrics import SplitMetrics


class EvaluatedModule(LightningModule):
    """A network with the loss and the metrics that judge it.

    Logs ``val/`` and ``test/`` loss and metrics over the whole split, exact also when processes
    hold different numbers of samples.

    Args:
        net: Maps inputs ``[batch, ...]`` to outputs ``[batch, num_outputs]``.
        loss: Maps outputs and targets to the scalar mean over the batch.
        metrics: Fed with outputs and targets; cloned for validation and test.

    Attributes:
        confusion_matrix: Of the latest validation or test, ``[num_classes, num_classes]``, rows
            are the true classes; None for regression.
    """

    def __init__(self, net: nn.Module, loss: nn.Module, metrics: MetricCollection) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self.val_metrics, self.test_metrics = (SplitMetrics(metrics.clone()) for _ in range(2))
        self.confusion_matrix: Tensor | None = None

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Compute outputs ``[batch, num_outputs]``: logits for classes, predictions for numbers."""
        outputs: Tensor = self.net(inputs)
        return outputs

    def validation_step(self, batch: LoaderItem, batch_idx: int) -> None:
        """Add a batch, or an execution of several, to the validation loss and metrics."""
        self._evaluate(batch, self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the scalar metrics of the whole validation split."""
        self._log_split("val", self.val_metrics)

    def test_step(self, batch: LoaderItem, batch_idx: int) -> None:
        """Add a batch, or an execution of several, to the test loss and metrics."""
        self._evaluate(batch, self.test_metrics)

    def on_test_epoch_end(self) -> None:
        """Log the loss and the scalar metrics of the whole test split."""
        self._log_split("test", self.test_metrics)

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """Compute the outputs of a batch, with or without its targets."""
        outputs: Tensor = self(batch if isinstance(batch, Tensor) else batch[0])
        return outputs

    def _evaluate(self, batch: LoaderItem, metrics: SplitMetrics) -> None:
        for inputs, targets in mini_batches(batch):
            outputs = self(inputs)
            metrics.update(self.loss(outputs, targets), outputs, targets)

    def _log_split(self, split: str, metrics: SplitMetrics) -> None:
        """Log the scalars, keep the confusion matrix for whoever draws it, start from scratch.

        The metrics have been summed over the processes; ``sync_dist`` averages equal values.
        """
        values = metrics.compute()
        self.confusion_matrix = values.pop("confusion_matrix", None)
        scalars = {f"{split}/{name}": value for name, value in values.items()}
        self.log_dict(scalars, sync_dist=True, prog_bar=split == "val")

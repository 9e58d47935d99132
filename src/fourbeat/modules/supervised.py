"""L3: what both loops share: network, loss, metrics, optimizer, scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Shaped
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, MetricCollection

from fourbeat.data import limited_batches
from fourbeat.modules.accumulation import AccumulationGroup
from fourbeat.modules.precision import MixedPrecision
from fourbeat.optim import Horizon, SchedulerPlan

# Inputs and targets: a tuple from a Dataset, a list from a DataLoader.
Batch: TypeAlias = Sequence[Tensor]
BuildOptimizer: TypeAlias = Callable[[nn.Module], Optimizer]
BuildScheduler: TypeAlias = Callable[[Optimizer, Horizon], SchedulerPlan]


class SupervisedModule(LightningModule):
    """A network, the loss that trains it, and the metrics that judge it.

    Logs ``train/loss`` every ``trainer.log_every_n_steps`` optimizer steps (the mean over the
    samples since the last value) and ``train/loss_epoch``; ``val/`` and ``test/`` loss and metrics
    over the whole split, exact also when processes hold different numbers of samples.

    Args:
        net: Maps inputs ``[batch, ...]`` to outputs ``[batch, num_outputs]``.
        loss: Maps outputs and targets to the scalar mean over the batch.
        metrics: Fed with outputs and targets; cloned for validation and test.
        optimizer: Builds the optimizer for the network.
        scheduler: Builds the scheduler for the optimizer and the horizon of the training.
        gradient_clip_val: Largest gradient norm or value; None for no clipping.
        gradient_clip_algorithm: ``norm`` or ``value``.
        accumulate_grad_batches: Micro-batches per optimizer step, at least 1.

    Attributes:
        confusion_matrix: Of the latest validation or test, ``[num_classes, num_classes]``, rows
            are the true classes; None for regression.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: MetricCollection,
        optimizer: BuildOptimizer,
        scheduler: BuildScheduler,
        *,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str = "norm",
        accumulate_grad_batches: int = 1,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")
        self.val_loss, self.test_loss = MeanMetric(), MeanMetric()
        self.build_optimizer, self.build_scheduler = optimizer, scheduler
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm
        self.accumulate_grad_batches = accumulate_grad_batches
        self._recent, self._epoch = _SampleMean(), _SampleMean()
        self.confusion_matrix: Tensor | None = None

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Compute outputs ``[batch, num_outputs]``: logits for classes, predictions for numbers."""
        outputs: Tensor = self.net(inputs)
        return outputs

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and scheduler; the scheduler's horizon comes from the Trainer."""
        optimizer = self.build_optimizer(self.net)
        self.plan = plan = self.build_scheduler(optimizer, self.horizon())
        config: dict[str, Any] = {"scheduler": plan.scheduler, "interval": plan.interval}
        # In manual optimization the module steps the scheduler, and Lightning takes no monitor.
        if plan.monitor and self.automatic_optimization:
            # A plateau is judged when there is a new value, not at every epoch.
            config |= {"monitor": plan.monitor, "frequency": self.trainer.check_val_every_n_epoch}
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    def horizon(self) -> Horizon:
        """Count how long the training will last.

        Not ``trainer.estimated_stepping_batches``: reading it here makes Lightning drop a loader's
        restored position (its issue 20550), and in manual optimization it ignores accumulation.
        """
        trainer = self.trainer
        loader = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        return Horizon.of(
            num_batches=limited_batches(len(loader), trainer.limit_train_batches),
            accumulate_grad_batches=self.accumulate_grad_batches,
            max_epochs=trainer.max_epochs,
            max_steps=trainer.max_steps,
        )

    def accumulation_group(self, batch_idx: int) -> AccumulationGroup:
        """Find which micro-batches share an optimizer step with this one."""
        return AccumulationGroup.of(
            batch_idx,
            self.trainer.num_training_batches,
            self.accumulate_grad_batches,
            ends_epoch=self.trainer.is_last_batch,
        )

    @property
    def step_was_skipped(self) -> bool:
        """Whether the scaler of 16-mixed left out the latest optimizer step."""
        plugin = self.trainer.precision_plugin
        return isinstance(plugin, MixedPrecision) and plugin.step_was_skipped

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log the training loss at its interval, counted in optimizer steps."""
        loss, num_samples = outputs.get("mean_loss", outputs["loss"]), len(batch[0])
        self._recent.update(loss, num_samples)
        self._epoch.update(loss, num_samples)
        if not self.accumulation_group(batch_idx).is_last:
            return
        if self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.log_at_step("train/loss", self._recent.compute())

    def log_at_step(self, name: str, value: Tensor) -> None:
        """Hand a value to the loggers and the progress bar, at the optimizer step just made.

        Called at intervals only: ``self.log`` at every step would cost 150 us each time.
        """
        self.log(name, value, prog_bar=True, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics({name: value.item()}, step=self.global_step - 1)

    def on_train_epoch_end(self) -> None:
        """Log the mean training loss of the epoch."""
        self._recent.reset()
        # A run can be resumed at the end of an epoch, and has seen nothing of it then.
        if self._epoch.num_samples:
            self.log("train/loss_epoch", self._epoch.compute(), sync_dist=True, prog_bar=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the validation loss and metrics."""
        self._evaluate(batch, self.val_loss, self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the scalar metrics of the whole validation split."""
        self._log_split("val", self.val_loss, self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the test loss and metrics."""
        self._evaluate(batch, self.test_loss, self.test_metrics)

    def on_test_epoch_end(self) -> None:
        """Log the loss and the scalar metrics of the whole test split."""
        self._log_split("test", self.test_loss, self.test_metrics)

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """Compute the outputs of a batch, with or without its targets."""
        outputs: Tensor = self(batch if isinstance(batch, Tensor) else batch[0])
        return outputs

    def _evaluate(self, batch: Batch, loss: MeanMetric, metrics: MetricCollection) -> None:
        inputs, targets = batch
        outputs = self(inputs)
        loss.update(self.loss(outputs, targets), weight=len(inputs))
        if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
            # Not logits: torchmetrics takes those of a batch for probabilities when all happen to
            # lie between 0 and 1, and so its result would depend on the batches.
            outputs = outputs.squeeze(-1).float().sigmoid()
        metrics.update(outputs, targets)

    def _log_split(self, split: str, loss: MeanMetric, metrics: MetricCollection) -> None:
        """Log the scalars, keep the confusion matrix for whoever draws it, start anew.

        The metrics have been summed over the processes; ``sync_dist`` averages equal values.
        """
        values = {f"{split}/loss": loss.compute(), **metrics.compute()}
        self.confusion_matrix = values.pop(f"{split}/confusion_matrix", None)
        self.log_dict(values, sync_dist=True, prog_bar=split == "val")
        loss.reset()
        metrics.reset()


class _SampleMean:
    """A mean over samples, kept on the device: reading it is the only synchronisation."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._total: Tensor | float = 0.0
        self.num_samples = 0

    def update(self, mean: Tensor, num_samples: int) -> None:
        self._total = self._total + mean * num_samples
        self.num_samples += num_samples

    def compute(self) -> Tensor:
        """Return the mean and start anew."""
        mean = torch.as_tensor(self._total) / max(self.num_samples, 1)
        self.reset()
        return mean

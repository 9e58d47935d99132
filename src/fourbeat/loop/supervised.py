"""What both loops share: network, loss, metrics, optimizer, scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lightning.pytorch import LightningModule
from lightning.pytorch.loops.progress import _Progress
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from fourbeat.base.errors import NonFiniteError
from fourbeat.base.shapes import Float, Shaped
from fourbeat.data import count_loaded_batches, limit_batches
from fourbeat.events import Observer
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.backend import Backend, Batch, LoaderItem, mini_batches
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.training_log import TrainingLog
from fourbeat.optim import Horizon, SchedulerPlan, apply_changes, hyperparameters
from fourbeat.tasks.running_loss import RunningLoss
from fourbeat.tasks.split_metrics import SplitMetrics

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
        log_learning_rate: Log it with the loss: ``lr-Adam``, or ``lr-Adam/pg1`` and so on where
            there are several parameter groups (the names of Lightning's LearningRateMonitor).
        terminate_on_nan: End the training when its loss is NaN or infinite.
        backend: May play some micro-batches by itself, or compile parts of the network.

    Attributes:
        built_with: What the optimizer was built with, group by group.
        observers: Are notified of the beats of the next training.
        confusion_matrix: Of the latest validation or test, ``[num_classes, num_classes]``, rows
            are the true classes; None for regression.
    """

    _checks_losses = False

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
        log_learning_rate: bool = False,
        terminate_on_nan: bool = True,
        backend: Backend | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self.val_metrics, self.test_metrics = (SplitMetrics(metrics.clone()) for _ in range(2))
        self.build_optimizer, self.build_scheduler = optimizer, scheduler
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm
        self.accumulate_grad_batches = accumulate_grad_batches
        self.log_learning_rate = log_learning_rate
        self.terminate_on_nan = terminate_on_nan
        self.backend = backend or Backend()
        self.observers: list[Observer] = []
        self.running_loss = RunningLoss()
        self.training_log = TrainingLog()
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
        self.built_with = hyperparameters(optimizer, plan.scheduler)
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
        batches = limit_batches(count_loaded_batches(loader), trainer.limit_train_batches)
        self.num_train_batches = batches
        return Horizon.of(
            num_batches=batches,
            accumulate_grad_batches=self.accumulate_grad_batches,
            max_epochs=trainer.max_epochs,
            max_steps=trainer.max_steps,
        )

    def accumulation_group(self, batch_idx: int) -> AccumulationGroup:
        """Find which micro-batches share an optimizer step with this one.

        Args:
            batch_idx: Index of the micro-batch in its epoch, from 0.
        """
        return AccumulationGroup.of(batch_idx, self.num_train_batches, self.accumulate_grad_batches)

    @property
    def step_was_skipped(self) -> bool:
        """Whether the scaler of 16-mixed skipped the latest optimizer step."""
        plugin = self.trainer.precision_plugin
        return isinstance(plugin, MixedPrecision) and plugin.step_was_skipped

    @property
    def num_steps(self) -> int:
        """Optimizer steps made: ``trainer.global_step``, which takes 3 us to ask."""
        return self._progress.total.completed

    def process_state(self) -> dict[str, Any]:
        """Return what a resumed run needs besides the weights."""
        return {"running_loss": self.running_loss.state_dict(), "built_with": self.built_with}

    def load_process_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`process_state` returned."""
        self.running_loss.load_state_dict(state["running_loss"], self.device)
        (optimizer,) = self.trainer.optimizers
        was = state.get("built_with", self.built_with)  # the first states lack it
        apply_changes(optimizer, self.plan.scheduler, was, self.built_with)

    def on_train_start(self) -> None:
        """Find where Lightning counts the optimizer steps, and whether each loss is checked."""
        loop = self.trainer.fit_loop.epoch_loop
        automatic, manual = loop.automatic_optimization, loop.manual_optimization
        self._progress: _Progress = (
            automatic.optim_progress.optimizer.step
            if self.automatic_optimization
            else manual.optim_step_progress
        )
        plugin = self.trainer.precision_plugin
        is_scaled = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
        on_cpu = self.device.type == "cpu"
        self._checks_losses = self.terminate_on_nan and on_cpu and not is_scaled
        self.backend.start(self)

    def log_is_due(self, step: int) -> bool:
        """Return whether values are logged after this optimizer step, the first being 1."""
        interval: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return step % interval == 0

    def learning_rates(self, optimizer: Optimizer) -> dict[str, float]:
        """Return the learning rate of each parameter group, if they are to be logged."""
        groups = optimizer.param_groups if self.log_learning_rate else []
        name = f"lr-{type(optimizer).__name__}"
        if len(groups) == 1:
            return {name: groups[0]["lr"]}
        return {f"{name}/pg{i}": group["lr"] for i, group in enumerate(groups, start=1)}

    def log_training(self, values: Mapping[str, float], step: int) -> None:
        """Buffer the mean loss since the last time, and other values, for the loggers.

        Callbacks find the loss among the ``trainer.callback_metrics``. Not by ``self.log``, which
        costs 150 us each time, and knows no step within an execution.

        Args:
            values: Besides the loss, e.g. learning rates.
            step: Optimizer steps made; the loggers count them from 0.
        """
        loss = self.running_loss.recent()
        self.trainer.callback_metrics["train/loss"] = loss  # which the progress bar shows
        self.training_log.add(step - 1, loss, values)
        if self.training_log.is_due:
            self.write_log()

    def write_log(self) -> None:
        """Write the training's buffered values to the loggers.

        Raises:
            NonFiniteError: A loss was NaN or infinite, and had not been checked before.
        """
        bad = self.training_log.write(self.trainer.loggers)
        if bad is not None and self.terminate_on_nan:
            raise NonFiniteError(*bad, corrupted=True)

    def flush(self) -> None:
        """Write the held-back values, before the state is captured; NaN or Inf is no error here."""
        self.training_log.write(self.trainer.loggers)

    def check_finite(self, loss: Tensor, *, corrupted: bool = False) -> None:
        """Stop before a loss that is NaN or Inf corrupts the weights.

        Only on the CPU: a GPU would have to be waited for at each step. There, ``write_log`` sees
        it within a second or so, and no state is saved whose weights are not finite. Nor under
        16-mixed, where an overflow is the loss scaler's business.

        Args:
            loss: Of a mini-batch, before its gradients are computed.
            corrupted: It was of a compiled step, which has applied its update already.

        Raises:
            NonFiniteError: It is NaN or infinite.
        """
        if self._checks_losses and not math.isfinite(loss.item()):
            raise NonFiniteError(self.num_steps, "train/loss", loss.item(), corrupted=corrupted)

    def on_validation_start(self) -> None:
        """Write the training's values before the validation's."""
        self.write_log()

    def on_train_epoch_end(self) -> None:
        """Log the mean training loss of the epoch."""
        self.write_log()
        # A run can be resumed at the end of an epoch, and has seen nothing of it then.
        if (loss := self.running_loss.epoch()) is not None:
            self.log("train/loss_epoch", loss, sync_dist=True, prog_bar=True)

    def on_train_end(self) -> None:
        """Leave the network as it was: whoever gets it does not expect it to compile."""
        self.backend.end(self)

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

"""What both loops share: network, loss, metrics, optimizer, scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from fourbeat.base.errors import NonFiniteError
from fourbeat.base.registry import StateFunctions, StateRegistry
from fourbeat.data import (
    AT_EPOCH_ENDS,
    Validations,
    count_batches_done,
    count_loaded_batches,
    limit_batches,
)
from fourbeat.events import Observer
from fourbeat.lightning.trainer import StepCounter, datamodule_of, log_interval, precision_of
from fourbeat.lightning.validation import decide_validations
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.backend import Backend
from fourbeat.loop.evaluated import EvaluatedModule
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.training_log import TrainingLog
from fourbeat.optim import (
    Horizon,
    SchedulerPlan,
    apply_changes,
    hyperparameters,
    keep_statistics,
)
from fourbeat.tasks.running_loss import RunningLoss

BuildOptimizer: TypeAlias = Callable[[nn.Module], Optimizer]
BuildScheduler: TypeAlias = Callable[[Optimizer, Horizon], SchedulerPlan]


class SupervisedModule(EvaluatedModule):
    """A network, the loss that trains it, and the metrics that judge it.

    Logs ``train/loss`` every ``trainer.log_every_n_steps`` optimizer steps (the mean over the
    samples since the last value) and ``train/loss_epoch``.

    Args:
        net: Maps inputs ``[batch, ...]`` to outputs ``[batch, num_outputs]``.
        loss: Maps outputs and targets to the scalar mean over the batch.
        metrics: Fed with outputs and targets; cloned for validation and test.
        optimizer: Builds the optimizer for the network.
        scheduler: Builds the scheduler for the optimizer and the horizon of the training.
        gradient_clip_val: Largest gradient norm or value; None for no clipping.
        gradient_clip_algorithm: ``norm`` or ``value``.
        accumulate_grad_batches: Micro-batches per optimizer step, at least 1.
        validations: When the validation runs within an epoch.
        log_learning_rate: Log it with the loss: ``lr-Adam``, or ``lr-Adam/pg1`` and so on where
            there are several parameter groups (the names of Lightning's LearningRateMonitor).
        terminate_on_nan: End the training when its loss is NaN or infinite.
        backend: May play some micro-batches by itself, or compile parts of the network.
        frozen_layers: Layers of the network that stay in evaluation mode.

    Attributes:
        built_with: What the optimizer was built with, group by group.
        observers: Are notified of the beats of the next training.
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
        validations: Validations = AT_EPOCH_ENDS,
        log_learning_rate: bool = False,
        terminate_on_nan: bool = True,
        backend: Backend | None = None,
        frozen_layers: Sequence[str] = (),
    ) -> None:
        super().__init__(net, loss, metrics)
        self.build_optimizer, self.build_scheduler = optimizer, scheduler
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm
        self.accumulate_grad_batches = accumulate_grad_batches
        self.validations = validations
        self.log_learning_rate = log_learning_rate
        self.terminate_on_nan = terminate_on_nan
        self.backend = backend or Backend()
        self.frozen_layers = frozen_layers
        self.observers: list[Observer] = []
        self.running_loss = RunningLoss()
        self.training_log = TrainingLog()

    def train(self, mode: bool = True) -> SupervisedModule:
        """Put the network into training mode, or out of it; what is frozen is never in it."""
        super().train(mode)
        keep_statistics(self.net, self.frozen_layers)
        return self

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and scheduler; the scheduler's horizon comes from the Trainer."""
        optimizer = self.build_optimizer(self.net)
        self.plan = plan = self.build_scheduler(optimizer, self.horizon())
        self.built_with = hyperparameters(optimizer, plan.scheduler)
        config: dict[str, Any] = {"scheduler": plan.scheduler, "interval": plan.interval}
        # In manual optimization the module steps the scheduler, and Lightning takes no monitor.
        if plan.monitor and self.automatic_optimization:
            # A plateau is judged when there is a new value, not at every epoch.
            frequency = self.validations.every_n_epochs or 1
            config |= {"monitor": plan.monitor, "frequency": frequency}
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    def horizon(self) -> Horizon:
        """Count how long the training will last.

        Not ``trainer.estimated_stepping_batches``: reading it here makes Lightning drop a loader's
        restored position (its issue 20550), and in manual optimization it ignores accumulation.
        """
        trainer = self.trainer
        loader = datamodule_of(trainer).train_dataloader()
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
        plugin = precision_of(self.trainer)
        return isinstance(plugin, MixedPrecision) and plugin.step_was_skipped

    @property
    def num_steps(self) -> int:
        """Optimizer steps made: ``trainer.global_step``, which takes 3 us to ask."""
        return self._counter.completed

    def register_state(self, registry: StateRegistry) -> None:
        """Register what a resumed run needs besides the weights, and what is held back of logs."""
        registry.register("module", StateFunctions(self._own_state, self._load_own_state))
        registry.before_capture(self._flush)
        registry.micro_batches_per_step = lambda: self.accumulate_grad_batches

    def _own_state(self) -> dict[str, Any]:
        return {"running_loss": self.running_loss.state_dict(), "built_with": self.built_with}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self.running_loss.load_state_dict(state["running_loss"], self.device)
        (optimizer,) = self.trainer.optimizers
        was = state.get("built_with", self.built_with)  # the first states lack it
        apply_changes(optimizer, self.plan.scheduler, was, self.built_with)

    def on_train_start(self) -> None:
        """Find where Lightning counts the optimizer steps, and whether each loss is checked."""
        self._counter = StepCounter(self.trainer, automatic=self.automatic_optimization)
        plugin = precision_of(self.trainer)
        is_scaled = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
        on_cpu = self.device.type == "cpu"
        self._checks_losses = self.terminate_on_nan and on_cpu and not is_scaled
        self.backend.start(self)
        self._num_done = 0
        if self.validations.are_within_epochs:
            decide_validations(self.trainer, self.validation_is_due)

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        """Note how many mini-batches of the epoch are done."""
        self._num_done = count_batches_done(batch, batch_idx)

    def validation_is_due(self) -> bool:
        """Return whether the validation runs after the mini-batches that are done.

        Not before the first one: a run that is resumed has done what was due.
        """
        num_batches, done = self.num_train_batches, self._num_done
        return done > 0 and self.validations.is_due(num_batches, self.current_epoch, done)

    def log_is_due(self, step: int) -> bool:
        """Return whether values are logged after this optimizer step, the first being 1."""
        return step % log_interval(self.trainer) == 0

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

    def _flush(self) -> None:
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

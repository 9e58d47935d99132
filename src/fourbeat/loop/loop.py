"""What both loops share: optimizers, schedulers, what is logged, what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRScheduler
from torch import Tensor

from fourbeat.base.errors import NonFiniteError
from fourbeat.base.registry import StateRegistry
from fourbeat.data import AT_EPOCH_ENDS, Batch, Validations, count_loaded_batches, limit_batches
from fourbeat.data.seeding import Split
from fourbeat.lightning.optimization import skips_backward
from fourbeat.lightning.trainer import (
    StepCounter,
    datamodule_of,
    log_interval,
    precision_of,
    scheduler_interval,
)
from fourbeat.lightning.validation import decide_validations
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.backend import Backend, LoaderItem, as_execution
from fourbeat.loop.evaluation import Evaluation, SeededEvaluations
from fourbeat.loop.optimization import BuildOptimizers, BuildSchedulers, Optimization
from fourbeat.loop.own_state import LoopState
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.task_log import TaskLog
from fourbeat.loop.training_log import TrainingLog
from fourbeat.loop.weighing import GroupWeights, epoch_means
from fourbeat.optim.changed import schedule_added_groups
from fourbeat.optim.scheduler import Horizon
from fourbeat.tasks import Loss, Mean, Task
from fourbeat.tasks.mean import TOTAL, total_of
from fourbeat.tasks.running_loss import RunningLosses


class Loop(SeededEvaluations):
    """Plays the beats of a task; Lightning calls it as a callback, and the task as its player.

    Logs ``train/loss`` every ``trainer.log_every_n_steps`` optimizer steps (the mean over the
    samples since the last value), ``train/loss_epoch``, and the same for each named loss; ``val/``
    and ``test/`` losses and metrics over the whole split.

    Args:
        task: Whose loop it becomes.
        optimizers: Builds the optimizers for the network, by name; a single one is called "".
        schedulers: Builds the scheduler of each optimizer, for how many steps it will make.
        seed: Of what the task draws in evaluation.
        gradient_clip_val: Largest gradient norm or value; None for no clipping.
        gradient_clip_algorithm: ``norm`` or ``value``.
        accumulate_grad_batches: Micro-batches per optimizer step, at least 1.
        validations: When the validation runs within an epoch.
        log_learning_rate: Log it with the loss: ``lr-Adam``, or ``lr-Adam/pg1`` and so on where
            there are several parameter groups (the names of Lightning's LearningRateMonitor).
        terminate_on_nan: End the training when its loss is NaN or infinite.
        backend: May play some micro-batches by itself, or compile parts of the network.

    Attributes:
        optim: The optimizers with their schedulers.
        evaluation: Of the validation and test splits.
        group_size: Micro-batches per optimizer step at the moment: callbacks may change it.
        skips_backward: Whether a callback wants forward alone, for the statistics of batch norms.
        latest_losses: Of the latest micro-batch, by name, where Lightning plays the beats.
        playing: The latest micro-batch itself.
    """

    _checks_losses = False
    playing: Batch = None
    latest_losses: Mapping[str, Loss] = MappingProxyType({})

    def __init__(
        self,
        task: Task,
        optimizers: BuildOptimizers,
        schedulers: BuildSchedulers,
        *,
        seed: int = 0,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str = "norm",
        accumulate_grad_batches: int = 1,
        validations: Validations = AT_EPOCH_ENDS,
        log_learning_rate: bool = False,
        terminate_on_nan: bool = True,
        backend: Backend | None = None,
    ) -> None:
        super().__init__(seed)
        self.task = task
        self.optim = Optimization(optimizers, schedulers)
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm
        self.accumulate_grad_batches = accumulate_grad_batches
        self.validations = validations
        self.log_learning_rate = log_learning_rate
        self.terminate_on_nan, self.backend = terminate_on_nan, backend or Backend()
        self.group_size, self.skips_backward = accumulate_grad_batches, False
        self.running = RunningLosses(has_total=not task.takes_turns)
        self.training_log = TrainingLog()
        self.evaluation = Evaluation(task, seed)
        self.task_log = TaskLog(self)
        self._weights = GroupWeights()
        task.loop = self

    @property
    def trainer(self) -> Trainer:
        """The task's Trainer."""
        return self.task.trainer

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizers and schedulers; the horizon comes from the Trainer."""
        self.optim.build(self.task.net, self.horizon, take_turns=self.task.takes_turns)
        # In manual optimization the loop steps the scheduler, and Lightning takes no monitor.
        frequency = self.validations.every_n_epochs or 1
        return self.optim.for_lightning(frequency if self.task.automatic_optimization else None)

    def horizon(self, name: str = "") -> Horizon:
        """Count how many steps an optimizer will make.

        Not ``trainer.estimated_stepping_batches``: reading it here makes Lightning drop a loader's
        restored position (its issue 20550), and in manual optimization it ignores accumulation.
        """
        trainer, turns = self.trainer, self.task.turns_per_batch
        if (loaded := count_loaded_batches(datamodule_of(trainer).train_dataloader())) < 0:
            loaded = max(trainer.max_steps, 0)  # unknown: as long as the training may be
        batches = self.num_train_batches = limit_batches(loaded, trainer.limit_train_batches)
        size = self.accumulate_grad_batches
        return self.optim.horizon(trainer, batches, size, turns).of_turns(turns.get(name, 1))

    def accumulation_group(self, batch_idx: int) -> AccumulationGroup:
        """Find which micro-batches share an optimizer step with this one.

        Args:
            batch_idx: Index of the micro-batch in its epoch, from 0.
        """
        return AccumulationGroup.of(batch_idx, self.num_train_batches, self.group_size)

    def objective(self, losses: Mapping[str, Loss], group: AccumulationGroup) -> Tensor:
        """Return what is differentiated, once it is divided by the size of a full group."""
        has_means = any(isinstance(loss, Mean) for loss in losses.values())
        if has_means and (group.full_size > 1 or self.trainer.world_size > 1):
            return self._weights.objective(losses, group, self.optim.optimizer, self.trainer)
        return group.compensate(total_of(losses))

    @property
    def step_was_skipped(self) -> bool:
        """Whether the scaler of 16-mixed skipped the latest optimizer step."""
        plugin = precision_of(self.trainer)
        return isinstance(plugin, MixedPrecision) and plugin.step_was_skipped

    @property
    def num_steps(self) -> int:
        """Optimizer steps made, as ``trainer.global_step``, which takes 3 us to ask."""
        return self._counter.completed

    def register_state(self, registry: StateRegistry) -> None:
        """Register what a resumed run needs besides the weights, and what is held back of logs."""
        registry.register("module", LoopState(self))
        registry.before_capture(self.flush)
        registry.micro_batches_per_step, registry.drops_gradients = lambda: self.group_size, True

    def _follow_knobs(self, trainer: Trainer) -> None:
        """Obey what callbacks may have changed of the Trainer's knobs."""
        self.gradient_clip_val = trainer.gradient_clip_val
        self.skips_backward = skips_backward(trainer)
        # Without backward there is one step, of nothing, at the end of the epoch.
        whole = self.num_train_batches + 1 if self.skips_backward else 0
        self.group_size = whole or trainer.accumulate_grad_batches

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find where Lightning counts the optimizer steps, and whether each loss is checked."""
        task = self.task
        self._counter = StepCounter(trainer, automatic=task.automatic_optimization)
        plugin = precision_of(trainer)
        is_scaled = isinstance(plugin, MixedPrecision) and plugin.scaler is not None
        self._checks_losses = self.terminate_on_nan and task.device.type == "cpu" and not is_scaled
        self.backend.start(self)
        self._num_done = 0
        if self.validations.are_within_epochs:
            decide_validations(trainer, self.validation_is_due)

    def validation_is_due(self) -> bool:
        """Return whether the validation runs after the mini-batches that are done."""
        epoch = self.trainer.current_epoch
        return self.validations.is_due(self.num_train_batches, epoch, self._num_done)

    def log_is_due(self, step: int) -> bool:
        """Return whether values are logged after this optimizer step, the first being 1."""
        return step % log_interval(self.trainer) == 0

    def learning_rates(self, name: str = "") -> dict[str, float]:
        """Return an optimizer's learning rates by name, if they are to be logged."""
        return self.optim.learning_rates(name) if self.log_learning_rate else {}

    def log_training(self, values: Mapping[str, float], step: int) -> None:
        """Buffer the mean losses since the last time, and other values, for the loggers.

        Callbacks find them among the ``trainer.callback_metrics``. Not by ``self.log``, which
        costs 150 us each time, and knows no step within an execution.

        Args:
            values: Besides the losses, e.g. learning rates.
            step: Optimizer steps made; the loggers count them from 0.
        """
        losses = {f"train/{name}": loss for name, loss in self.running.recent().items()}
        self.trainer.callback_metrics.update(losses)  # which the progress bar shows
        self.training_log.add(step - 1, losses, values)
        if self.training_log.is_due:
            self.write_log()

    def write_log(self) -> None:
        """Write the training's buffered values; raise where a loss was NaN or infinite."""
        bad = self.training_log.write(self.trainer.loggers)
        if bad is not None and self.terminate_on_nan:
            self.playing = None  # it was another one
            raise NonFiniteError(*bad, corrupted=True)

    def flush(self) -> None:
        """Write the held-back values, before the state is captured; NaN or Inf is no error here."""
        self.training_log.write(self.trainer.loggers)

    def check_finite(self, loss: Tensor, name: str = TOTAL, *, corrupted: bool = False) -> None:
        """Stop before a loss that is NaN or Inf corrupts the weights.

        Only on the CPU: a GPU would have to be waited for at each step. There, ``write_log`` sees
        it within a second or so, and no state is saved whose weights are not finite. Nor under
        16-mixed, where an overflow is the loss scaler's business.

        Args:
            loss: Of a mini-batch, before its gradients are computed, or of a compiled step.
            name: Of the loss.
            corrupted: The update has been applied already.

        Raises:
            NonFiniteError: It is NaN or infinite.
        """
        if self._checks_losses and not isfinite(loss.item()):
            what = f"train/{name}"
            raise NonFiniteError(self.num_steps, what, loss.item(), corrupted=corrupted)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the training's values before the validation's."""
        if trainer.state.fn == "fit":
            self.write_log()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the mean training losses of the epoch."""
        self.write_log()
        self.task_log.latest = {}
        # A run can be resumed at the end of an epoch, and has seen nothing of it then.
        for name, loss in epoch_means(self.running, trainer).items():
            pl_module.log(f"train/{name}_epoch", loss, sync_dist=True, prog_bar=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the network as it was: whoever gets it does not expect it to compile."""
        self.backend.end(self)

    def training_step(self, batch: LoaderItem, batch_idx: int) -> STEP_OUTPUT:
        """Train on what the loader has yielded."""
        raise NotImplementedError

    def evaluation_step(self, split: Split, batch: LoaderItem, batch_idx: int) -> None:
        """Add a batch, or an execution of several, to a split's losses and metrics."""
        execution = as_execution(batch, batch_idx, self.trainer)
        self.evaluation.add(split, self.task_log.each(execution))

    def end_evaluation(self, split: str) -> None:
        """Do nothing: as a callback it does, whatever hooks the task has."""

    def log_options(self, name: str, value: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return how Lightning is to log a value of the task's, which may have been logged."""
        return self.task_log.options(name, value, options)

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Feed the metrics, if something is being evaluated."""
        self.evaluation.update_metrics(outputs, targets)

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> bool:
        """Return whether a scheduler may step now: not when the step that it counts was skipped."""
        schedule_added_groups(scheduler)
        by_step = scheduler_interval(self.trainer, scheduler) == "step"
        return not (by_step and self.step_was_skipped)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the losses and the scalar metrics of the whole validation split."""
        self.evaluation.log("val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the losses and the scalar metrics of the whole test split."""
        self.evaluation.log("test")

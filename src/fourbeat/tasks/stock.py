"""How a task is played by a stock Trainer, without fourbeat's loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRScheduler
from torch import Tensor

from fourbeat.data.loader import count_yielded_samples
from fourbeat.lightning.trainer import loader_of
from fourbeat.tasks.evaluation import SplitEvaluation
from fourbeat.tasks.mean import TOTAL, Loss, by_name, in_turn, total_of, value_of

if TYPE_CHECKING:
    from fourbeat.data.seeding import Split
    from fourbeat.tasks.task import Task


class StockPlayer:
    """Returns the loss to Lightning; plays turns by manual optimization.

    Args:
        task: Whose beats they are.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._evaluation: SplitEvaluation | None = None

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Refuse: only the config knows, and a stock Trainer has none.

        Raises:
            NotImplementedError: Always.
        """
        name = type(self._task).__name__
        raise NotImplementedError(
            f"{name}.configure_optimizers is missing: a stock Trainer needs it; in fourbeat the "
            "config's optim and scheduler build them."
        )

    def training_step(self, batch: Any, batch_idx: int) -> STEP_OUTPUT:
        """Return the sum of the losses; play the turns, if the task has any."""
        if self._task.takes_turns:
            self._play_turns(batch)
            return None
        named = by_name(self._task.losses(batch))
        total = total_of(named)
        self._log({**named, TOTAL: total})
        return total

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> bool:
        """Leave it to Lightning."""
        return True

    def evaluation_step(self, split: Split, batch: Any, batch_idx: int) -> None:
        """Add a batch to the split's losses and metrics."""
        task = self._task
        if self._evaluation is None:
            self._evaluation = SplitEvaluation(task.metrics, task.device)
        num_samples = count_yielded_samples(loader_of(task.trainer), batch, batch_idx)
        self._evaluation.add(by_name(task.evaluate(batch)), num_samples)

    def end_evaluation(self, split: str) -> None:
        """Log the split's losses and metrics."""
        if self._evaluation is not None:
            values = self._evaluation.compute(has_total=not self._task.takes_turns)
            scalars = {f"{split}/{name}": v for name, v in values.items() if v.ndim == 0}
            self._task.log_dict(scalars)
        self._evaluation = None

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Feed the metrics of the split that is evaluated."""
        if self._evaluation is not None and not self._task.training:
            self._evaluation.update_metrics(outputs, targets)

    def log_options(self, name: str, value: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Leave everything to Lightning."""
        return options

    def _play_turns(self, batch: Any) -> None:
        task, names = self._task, self._task.optimizer_names
        found = task.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        if len(names) != len(optimizers):
            raise ValueError(
                f"{type(task).__name__}.optimizer_names is {names}: name the {len(optimizers)} "
                "optimizers, in the order in which configure_optimizers returns them."
            )
        of_name = dict(zip(names, optimizers, strict=True))
        for turn, losses in task.steps(batch):
            named = in_turn(turn, losses)
            self._take_turn(of_name[turn], total_of(named))
            self._log(named)

    def _take_turn(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        own = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad()
        self._task.manual_backward(loss, inputs=own)
        optimizer.step()

    def _log(self, losses: Mapping[str, Loss]) -> None:
        values = {f"train/{name}": value_of(loss).detach() for name, loss in losses.items()}
        self._task.log_dict(values)

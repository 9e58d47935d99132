"""What is measured on the validation and test splits, whoever trains the network."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from fourbeat.base.console import log
from fourbeat.base.generators import generators_seeded, seed_generators
from fourbeat.data import evaluation_seed
from fourbeat.data.seeding import Split, mix_seed
from fourbeat.lightning.validation import watch_evaluations
from fourbeat.loop.backend import MicroBatch
from fourbeat.loop.weighing import union_of_names
from fourbeat.tasks import Task
from fourbeat.tasks.evaluation import SplitEvaluation
from fourbeat.tasks.mean import call_losses
from fourbeat.tasks.metrics import suggest_metric


class SeededEvaluations(Callback):
    """Seeds each batch of an evaluation, before it is transferred to the device.

    So whatever its hooks and its steps draw is the same in any evaluation: ``eval.py`` gives the
    run's own test. The training's random generators stand where they stood once it is over; that
    takes 90 us, and to seed them 7 for each batch, whether it draws or not, for nobody knows
    before. A small network takes 100.

    Args:
        seed: Of what evaluations draw.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the loops that evaluate call back, where no hook is called."""

        def seed_batch(batch_idx: int, dataloader_idx: int) -> None:
            split: Split = "test" if trainer.testing else "val"
            own = evaluation_seed(self.seed, split, trainer.global_rank, batch_idx)
            # Not the seed of the batch itself: a task draws from that while it evaluates it.
            seed_generators(mix_seed(own, dataloader_idx))

        watch_evaluations(trainer, lambda: generators_seeded(self.seed), seed_batch)


class Evaluation:
    """Measures a task on a split, exact also when processes hold different numbers of samples.

    Args:
        task: Whose losses and metrics they are.
        seed: Of what the task draws: each batch has a stream of its own.

    Attributes:
        confusion_matrix: Of the latest split, ``[num_classes, num_classes]``, rows are the true
            classes; None where there is none.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed, self._is_said = task, seed, False
        self._split: SplitEvaluation | None = None
        self.confusion_matrix: Tensor | None = None

    def add(self, split: Split, batches: Iterable[MicroBatch]) -> None:
        """Add mini-batches, each seeded alone: an execution has several.

        Args:
            split: ``val`` or ``test``.
            batches: Each with its index in the split, from 0, and how many samples it has.
        """
        if self._split is None:
            self._split = SplitEvaluation(self._task.metrics, self._task.device)
        for batch_idx, batch, num_samples in batches:
            rank = self._task.global_rank
            seed_generators(evaluation_seed(self._seed, split, rank, batch_idx))
            self._split.add(call_losses(self._task.evaluate, batch), num_samples)

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Feed the metrics of the split, while one is measured."""
        if self._split is not None and not self._task.training:
            self._split.update_metrics(outputs, targets)
            if self._task.lacks_metrics and not self._is_said:
                self._is_said = True
                _say_what_lacks(self._task, outputs, targets)

    def log(self, split: str) -> None:
        """Log the scalars, keep the confusion matrix for whoever draws it, start from scratch.

        The metrics have been summed over the processes; ``sync_dist`` averages equal values.

        Args:
            split: ``val`` or ``test``.
        """
        if self._split is None:
            return
        agree = partial(union_of_names, world_size=self._task.trainer.world_size)
        values = self._split.compute(has_total=not self._task.takes_turns, agree=agree)
        self._split = None
        self.confusion_matrix = values.pop("confusion_matrix", None)
        scalars = {f"{split}/{name}": value for name, value in values.items()}
        self._task.log_dict(scalars, sync_dist=True, prog_bar=split == "val")


def _say_what_lacks(task: Task, outputs: Any, targets: Any) -> None:
    if task.global_rank == 0:
        log.info(
            "%s.update_metrics measures nothing: the data do not say which metrics=auto are. Name "
            "one, e.g. %s; metrics=none says that none is wanted",
            *(type(task).__name__, suggest_metric(outputs, targets)),
        )

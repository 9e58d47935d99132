"""The Trainer's side of a loop that plays the beats itself: what Lightning leaves to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities import GradClipAlgorithmType

from fourbeat.lightning.optimization import (
    accept_accumulation_schedulers,
    can_stop_early,
    hand_back,
    take_over,
)
from fourbeat.lightning.trainer import callbacks_of, precision_of
from fourbeat.lightning.validation import decide_validations
from fourbeat.loop.accumulation import AccumulationGroup
from fourbeat.loop.fast_path import find_hook_user, find_step_hook_user
from fourbeat.loop.loop import Loop
from fourbeat.loop.precision import MixedPrecision
from fourbeat.loop.schedules import Schedules, complete_configs
from fourbeat.loop.turns import Turn


class ManualLoop(Loop):
    """Obeys in Lightning's manual optimization all that its automatic one obeys.

    The Trainer's flags, its list of schedulers and its callbacks are what counts: any of them may
    be changed during a training.

    Attributes:
        turns: The optimizers by name, in whose turns the weights are updated; a single one is "".
        schedules: When the Trainer's schedulers step.
        bypasses_hooks: Whether nobody uses Lightning's hooks of each backward or step.
        check_batch_hooks: Called when users are looked up: raises an error where the loader yields
            executions, and somebody sees each batch by now.
    """

    schedules: Schedules

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.task.automatic_optimization = False
        self.turns: dict[str, Turn] = {}
        self.bypasses_hooks = True
        self.check_batch_hooks: Callable[[], None] = lambda: None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell the Trainer what the loop does: callbacks ask it, and may change it."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            trainer.gradient_clip_val = self.gradient_clip_val
            if self.gradient_clip_val is not None:
                algorithm = GradClipAlgorithmType(self.gradient_clip_algorithm)
                trainer.gradient_clip_algorithm = algorithm
            trainer.accumulate_grad_batches = self.accumulate_grad_batches
            accept_accumulation_schedulers(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the Trainer as it was: it refuses to clip or accumulate in manual optimization."""
        if stage == "fit":
            trainer.gradient_clip_val = trainer.gradient_clip_algorithm = None
            trainer.accumulate_grad_batches = 1
            hand_back(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the Trainer as it was; Lightning calls no ``teardown`` then."""
        self.teardown(trainer, pl_module, "fit")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Complete what the Trainer knows of the schedulers."""
        complete_configs(trainer, self.optim.plans, self.validations.every_n_epochs or 1)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look up once what Lightning is slow to find."""
        plugin, strategy = precision_of(trainer), trainer.strategy
        self._mixed = plugin if isinstance(plugin, MixedPrecision) else None
        self._parallel = strategy if isinstance(strategy, ParallelStrategy) else None
        self._trainer = trainer
        self.schedules = Schedules(trainer, pl_module)
        take_over(trainer, self.schedules.update, self._step_is_complete)
        self.look_up_users()
        super().on_train_start(trainer, pl_module)

    def follow_trainer(self) -> None:
        """Obey what callbacks may have changed since the latest execution."""
        trainer = self._trainer
        self._follow_knobs(trainer)
        if self._list_users() != self._users or self.schedules.are_changed:
            self.look_up_users()
            self.backend.follow(self)
        for turn in self.turns.values():
            turn.look_up_calls()

    def _list_users(self) -> list[Any]:
        """List what the loop goes by, again in each epoch: hooks may be set on what was there."""
        trainer = self._trainer
        who = find_hook_user(trainer, self.task) or find_step_hook_user(trainer.optimizers)
        return [who, trainer.current_epoch, *callbacks_of(trainer), *trainer.optimizers]

    def look_up_users(self) -> None:
        """Look up the optimizers, the schedulers, and whether anybody uses hooks.

        Raises:
            RunError: Somebody has come to see each batch, of which a loader yields several as one.
        """
        task = self.task
        self._users = self._list_users()
        self.bypasses_hooks = self._users[0] is None
        self.check_batch_hooks()
        wrappers = task.optimizers()
        each = wrappers if isinstance(wrappers, list) else [wrappers]
        self.turns = {
            name: Turn(name, index, wrapper.optimizer, wrapper)
            for index, (name, wrapper) in enumerate(zip(self.optim.optimizers, each, strict=True))
        }
        self.schedules.look_up()

    def _step_is_complete(self) -> bool:
        return self.accumulation_group(self._num_done - 1).is_last

    def trainer_is_done(self, group: AccumulationGroup) -> bool:
        """Return whether the training ends within an execution, after this micro-batch."""
        trainer = self._trainer
        if trainer.should_stop and can_stop_early(trainer):
            return True
        has_new_size = group.is_last and group.full_size != self.accumulate_grad_batches
        return has_new_size and 0 < trainer.max_steps <= self.num_steps

    def cut_epoch(self, num_done: int) -> None:
        """End the epoch here: it is over for Lightning where the execution was its last.

        Args:
            num_done: Micro-batches of it that are done.
        """
        if num_done < self.num_train_batches:
            self.schedules.epoch_is_cut = True
            decide_validations(self._trainer, lambda: False)

    def count_step(self) -> None:
        """Count an optimizer step that bypassed Lightning's own counter."""
        self._counter.increment()

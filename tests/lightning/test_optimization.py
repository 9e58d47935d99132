"""What the seam needs of Lightning's optimization."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.types import LRSchedulerConfig
from support.contracts import Seam, contract
from support.stock_trainers import stock_trainer

optimization = Seam("optimization")


class Manual(BoringModel):
    """Optimizes itself, and notes what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.noted: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        self.noted.append(optimization.skips_backward(self.trainer))
        self.noted.append(optimization.can_stop_early(self.trainer))
        optimization.count_no_steps(optimizer)
        optimization.call_hooks(self.trainer, "on_before_zero_grad", optimizer.optimizer)
        where = (0, batch_idx, optimizer)
        optimization.call_module_hook(self.trainer, "optimizer_step", *where, self.closure(batch))

    def closure(self, batch: Any) -> Any:
        return lambda: self.manual_backward(self.step(batch))

    def on_before_zero_grad(self, optimizer: Any) -> None:
        self.noted.append("on_before_zero_grad")


class Taking(Callback):
    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.clipped: list[Any] = []
        self.items: list[Any] = []
        self.logged: list[Any] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        optimization.take_over(trainer, self.update, lambda: False)
        optimization.clip_within_steps(trainer.precision_plugin, self.clipped.append)
        trainer._logger_connector.log_metrics = lambda *a, **_: self.logged.append(a)

    def update(self, interval: str, *, update_plateau_schedulers: bool) -> None:
        self.updates.append((interval, update_plateau_schedulers))

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.items.append((optimization.items_done(trainer), optimization.is_accumulating(trainer)))
        trainer.lightning_module.log("value", 1.0)


@contract("lightning", "its loops ask methods that can be replaced", see="_TrainingEpochLoop")
def test_a_loop_takes_over_schedulers_accumulation_and_clipping() -> None:
    taking, model = Taking(), Manual()
    limits = {"limit_train_batches": 2, "limit_val_batches": 0, "log_every_n_steps": 1}
    trainer = stock_trainer(callbacks=[taking], max_epochs=1, **limits)
    trainer.fit(model)
    assert model.noted == [False, True, "on_before_zero_grad"] * 2
    assert trainer.global_step == 0  # count_no_steps
    assert taking.items == [(1, True), (2, False)]
    assert optimization.scheduler_configs(trainer) is trainer.strategy.lr_scheduler_configs
    assert ("epoch", False) in taking.updates
    assert ("epoch", True) in taking.updates
    assert len(taking.clipped) == 2
    assert len(taking.logged) == 2  # of the last batch, and of the epoch
    assert "update_lr_schedulers" in vars(trainer.fit_loop.epoch_loop)
    optimization.hand_back(trainer)
    owners = (trainer.fit_loop.epoch_loop, trainer.precision_plugin, trainer._logger_connector)
    for owner in owners:
        assert not set(optimization.REPLACED) & vars(owner).keys()


@contract("lightning", "a config says when a scheduler steps", see="LRSchedulerConfig")
def test_a_config_is_completed() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    config = LRSchedulerConfig(torch.optim.lr_scheduler.ConstantLR(optimizer))
    optimization.complete_config(config, "step", None, 3)
    assert (config.interval, config.frequency, config.reduce_on_plateau) == ("step", 1, False)
    optimization.complete_config(config, "epoch", "val/loss", 3)
    assert (config.monitor, config.frequency, config.reduce_on_plateau) == ("val/loss", 3, True)


@contract(
    "lightning", "it refuses manual optimization in on_train_start", see="GradientAccumulation"
)
def test_the_accumulation_scheduler_is_let_in() -> None:
    scheduler, model = GradientAccumulationScheduler({0: 1}), Manual()
    trainer = stock_trainer(callbacks=[scheduler], max_epochs=1, limit_train_batches=1)
    with pytest.raises(RuntimeError, match="not supported for"):
        scheduler.on_train_start(trainer, model)
    optimization.accept_accumulation_schedulers(trainer)
    scheduler.on_train_start(trainer, model)
    assert not model.automatic_optimization
    assert optimization.UpdateSchedulers

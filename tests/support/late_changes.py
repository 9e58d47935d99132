"""Callbacks that change, within a training, what the loop goes by; and one that sees all of it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor


class LateMethods(Callback):
    """Sets methods on the task when the second epoch begins."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            step = pl_module.optimizer_step

            def slowly(epoch: int, batch_idx: int, optimizer: Any, closure: Any = None) -> None:
                optimizer.param_groups[0]["lr"] = 0.01
                step(epoch, batch_idx, optimizer, closure)

            pl_module.optimizer_step = slowly


class LateGradients(Callback):
    """Sets a method on the task after the first validation."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        parameters = list(pl_module.parameters())
        if trainer.global_step:
            pl_module.on_after_backward = lambda: [p.grad.mul_(0.1) for p in parameters]


class LateListener(Callback):
    """Lets another callback see each batch from the second epoch on."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            trainer.callbacks.append(AccumulationWithinEpochs())


class AccumulationWithinEpochs(Callback):
    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        trainer.accumulate_grad_batches = 3 if batch_idx >= 5 else 1


class SteppedByEpochs(Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.lr_scheduler_configs[0].interval = "epoch"


class OtherOptimizer(Callback):
    """Leaves the scheduler without its optimizer when the second epoch begins."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            trainer.optimizers = [torch.optim.SGD(pl_module.parameters(), lr=0.1)]


class ShrinkingRate(Callback):
    """Has the rate changed by hooks of the optimizer, before and after each step."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        def shrink_rate(optimizer: Any, *_: Any) -> None:
            optimizer.param_groups[0]["lr"] *= 0.99

        trainer.optimizers[0].register_step_pre_hook(shrink_rate)
        trainer.optimizers[0].register_step_post_hook(shrink_rate)


class LogsEverywhere(Callback):
    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        pl_module.log("seen/start", float(trainer.global_step))

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        pl_module.log("seen/loss", loss)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        pl_module.log("seen/step", float(trainer.global_step), on_epoch=True)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        pl_module.log("seen/outputs", outputs["loss"], on_step=True, on_epoch=True)

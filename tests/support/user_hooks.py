"""What users write: callbacks, tasks, optimizers and networks that use hooks and odd gradients."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from fourbeat.tasks import Supervised


def shrink(trainer: Any, module: Any, optimizer: Any) -> None:
    """A function for LambdaCallback's on_before_zero_grad."""
    for parameter in module.net.parameters():
        parameter.data.mul_(0.99)


class Clamp(Callback):
    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        for parameter in pl_module.net.parameters():
            parameter.data.clamp_(-0.3, 0.3)


class TripledGradients(Callback):
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        for parameter in pl_module.parameters():
            parameter.grad.mul_(3.0)


class MoreAccumulation(Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.accumulate_grad_batches = trainer.current_epoch + 2


class StopAtStep(Callback):
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        trainer.should_stop = trainer.global_step >= 5


class StopAtEpoch(Callback):
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        trainer.should_stop = trainer.current_epoch >= 1


class StretchedInputs(Callback):
    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        batch[0].mul_(1.5)


class FrozenForAnEpoch(Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        for parameter in list(pl_module.net.parameters())[:2]:
            parameter.requires_grad = trainer.current_epoch != 1


class LateGroup(Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            optimizer, last = trainer.optimizers[0], list(pl_module.net.parameters())[-1]
            group = optimizer.param_groups[0]
            group["params"] = [p for p in group["params"] if p is not last]
            optimizer.add_param_group({"params": [last], "lr": 0.1})


class OtherClipping(Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.gradient_clip_val = 0.01 if trainer.current_epoch == 1 else None


def stop(trainer: Any, *_: Any) -> None:
    """A function for LambdaCallback."""
    trainer.should_stop = trainer.global_step >= 5


class StopIterationInAHook(Callback):
    def on_train_batch_end(self, *_: Any) -> None:
        raise StopIteration("a hook's")


class WarmedUp(Supervised):
    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.001 * (1 + batch_idx)
        optimizer.step(closure=optimizer_closure)


class EverySecondStep(Supervised):
    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        if batch_idx % 2:
            optimizer_closure()
        else:
            optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if batch_idx % 2:
            optimizer.zero_grad()


class OwnClipping(Supervised):
    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        self.clip_gradients(optimizer, 0.01, "value")


class TwiceScheduled(Supervised):
    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step()
        scheduler.step()


class SkippedRest(Supervised):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        return -1 if batch_idx == 3 else None


class Transferred(Supervised):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        inputs, targets = batch
        return inputs * 2, targets


class LogsInLosses(Supervised):
    """Logs values of each batch, of the training and of evaluations."""

    def losses(self, batch: Any) -> Any:
        losses = super().losses(batch)
        self.log("own/both", losses, on_step=True, on_epoch=True)
        self.log("own/step", losses, on_step=True, on_epoch=False)
        self.log("own/most", losses, on_step=False, on_epoch=True, reduce_fx="max")
        return losses


class StopFromLosses(Supervised):
    def losses(self, batch: Any) -> Any:
        if self.training and self._trainer is not None and self.global_step >= 4:
            self.trainer.should_stop = True
        return super().losses(batch)


class StopIterationInForward(Supervised):
    def losses(self, batch: Any) -> Any:
        if self._trainer is not None and self.global_step >= 4:
            raise StopIteration("forward's")
        return super().losses(batch)


class WithBackbone(Supervised):
    @property
    def backbone(self) -> nn.Module:
        backbone: nn.Module = self.net.backbone
        return backbone


class BackboneAndHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Linear(2, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.backbone(x).relu())
        return outputs


class Matrices(nn.Module):
    """All its parameters have two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 16, bias=False), nn.Linear(16, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.second(self.first(x).relu())
        return outputs


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 8, dtype=torch.cfloat), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.second(self.first(x.to(torch.cfloat)).abs())
        return outputs


class SparseEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 4, sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.table((x * 3).long() % 8)
        return found.sum((1, 2)).unsqueeze(1)


class AsksForAClosure(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        assert closure is not None
        closure()
        return super().step()


class ScheduleFree(torch.optim.Optimizer):
    """Schedule-free SGD, as published: it evaluates other weights than it trains."""

    def __init__(self, params: Any, lr: float = 0.01, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "train_mode": False, "k": 0})

    def _move(self, *, trains: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] is not trains:
                weight = 1 - group["beta"] if trains else 1 - 1 / group["beta"]
                for parameter in group["params"]:
                    if "z" in self.state[parameter]:
                        parameter.data.lerp_(self.state[parameter]["z"], weight)
                group["train_mode"] = trains

    def train(self) -> None:
        self._move(trains=True)

    def eval(self) -> None:
        self._move(trains=False)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        assert all(group["train_mode"] for group in self.param_groups)
        if closure is not None:
            with torch.enable_grad():
                closure()
        for group in self.param_groups:
            share, lr = 1 / (group["k"] + 1), group["lr"]
            for parameter in group["params"]:
                if parameter.grad is not None:
                    z = self.state[parameter].setdefault("z", parameter.clone())
                    parameter.lerp_(z, share)
                    parameter.add_(parameter.grad, alpha=lr * (group["beta"] * (1 - share) - 1))
                    z.sub_(parameter.grad, alpha=lr)
            group["k"] += 1

"""What a task does wrong on its first batch is one line, before any folder is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.project import compose
from support.settings import CIRCLES
from torch import Tensor
from torchmetrics import MeanMetric

from fourbeat import Mean, Task
from fourbeat.base.errors import ConfigError


class Detached(Task):
    def losses(self, batch: Any) -> Tensor:
        return self.net(batch[0]).mean().detach()


class KeyedWrongly(Task):
    def losses(self, batch: Any) -> Tensor:
        return self.net({"points": batch[0]}["point"]).mean()


class Unreduced(Task):
    def losses(self, batch: Any) -> Tensor:
        return self.net(batch[0]).squeeze(-1)


class Nameless(Task):
    def steps(self, batch: Any) -> Iterator[Any]:
        yield self.net(batch[0]).mean()


class Sum(Task):
    def losses(self, batch: Any) -> dict[str, Tensor]:
        loss = self.net(batch[0]).square().mean()
        return {"loss": loss, "other": loss}


def weighing(weight: Any) -> type[Task]:
    class Weighing(Task):
        def losses(self, batch: Any) -> Mean:
            outputs = self.net(batch[0])
            return Mean(outputs.sum(), weight(outputs) if callable(weight) else weight)

    return Weighing


VectorWeight, GradientWeight = weighing(torch.ones_like), weighing(Tensor.sum)
NoWeight, TextWeight, NegativeWeight = weighing(None), weighing("2"), weighing(-2)
NegativeTensor = weighing(lambda outputs: torch.tensor(-2.0))


def naming(*names: str) -> type[Task]:
    class Naming(Task):
        def losses(self, batch: Any) -> dict[str, Tensor]:
            return dict.fromkeys(names, self.net(batch[0]).square().mean())

    return Naming


LossEpoch, OtherStep = naming("loss_epoch", "b"), naming("b", "b_step")


def taking(*turns: tuple[str, Any]) -> type[Task]:
    class Taking(Task):
        def steps(self, batch: Any) -> Iterator[Any]:
            for name, losses in turns:
                yield name, losses(self.net(batch[0]).square().mean())

    return Taking


DetachedTurn = taking(("d", lambda loss: loss), ("g", Tensor.detach))
TurnOfLoss = taking(("d", lambda loss: loss), ("loss", lambda loss: loss))
SameNames = taking(*((turn, lambda loss: {"adv": loss}) for turn in "dg"))
NamedLoss = taking(("d", lambda loss: {"loss": loss}))


class Skipping(Task):
    def losses(self, batch: Any) -> Any:
        return None


class LikeMetric(naming("known")):  # type: ignore[misc]
    def __init__(self, net: Any) -> None:
        super().__init__(net)
        self.metrics.add_metrics({"known": MeanMetric()})


class Listing(Task):
    def steps(self, batch: Any) -> Any:
        return [("d", self.net(batch[0]).mean())]


@pytest.mark.one_in(9)
@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("Detached", "without a gradient"),
        ("KeyedWrongly", r"'point' \(KeyError, .*test_task_trial.py:\d+\)"),
        ("Unreduced", r"has the shape \[2\]: reduce it to one number"),
        ("Nameless", "steps.. yielded Tensor: yield a name and a loss"),
        ("VectorWeight", r"is a tensor of the shape \[2, 1\]: give .* a number of at least 0"),
        ("GradientWeight", r"a tensor with a gradient: .* without a gradient \(.detach"),
        ("NoWeight", "weight of the loss 'loss' is a NoneType: give"),
        ("TextWeight", "weight of the loss 'loss' is a str: give"),
        ("NegativeWeight", "weight of the loss 'loss' is -2: give"),
        ("NegativeTensor", "weight of the loss 'loss' is -2.0: at least 0"),
        ("LossEpoch", "a loss is called 'loss_epoch', as the mean of another"),
        ("OtherStep", "a loss is called 'b_step'"),
        ("DetachedTurn", "a loss of g without a gradient"),
        ("TurnOfLoss", "a loss 'loss' in the turn of loss"),
        ("SameNames", "a loss 'adv' in the turns of d and of g: .* 'd_adv' and 'g_adv'"),
        ("NamedLoss", "a loss 'loss' in the turn of d"),
        ("Skipping", r"loss 'loss' is None: .* or return fourbeat\.Mean\(0 \* loss, 0\.0\)"),
        ("LikeMetric", "a loss is called 'known', as one of the metrics"),
        ("Listing", "steps.. returned a list: yield each name and loss"),
        ("Sum", "none of several 'loss', which is their sum"),
    ],
)
def test_a_task_that_cannot_train_is_named_with_the_reason(task: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        compose(*CIRCLES, f"task._target_={__name__}.{task}")
    (fault,) = refused.value.faults
    assert (fault.code, fault.key) == ("task-fails", "task")
    assert "The batch: 0 [2, 2], 1 [2]" in fault.hint


class Turnless(Task):
    def steps(self, batch: Any) -> Iterator[Any]:
        if len(batch) == 0:
            yield "d", self.net(batch[0]).mean()


def test_a_first_batch_without_a_turn_is_called_that() -> None:
    with pytest.raises(ConfigError, match="takes no turn on the example batch") as refused:
        compose(*CIRCLES, f"task._target_={__name__}.Turnless")
    (fault,) = refused.value.faults
    assert (fault.code, fault.key) == ("wrong-turns", "task")


class OwnOptimizer(Task):
    """As a stock Trainer wants it."""

    def losses(self, batch: Any) -> Tensor:
        return self.net(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.3)


class AsksTheTrainer(OwnOptimizer):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1 / self.trainer.max_steps)


class AsksTheLoop(OwnOptimizer):
    def configure_optimizers(self) -> Any:
        return Task.configure_optimizers(self)


@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
@pytest.mark.parametrize("task", ["OwnOptimizer", "AsksTheTrainer"])
def test_a_task_does_not_build_its_optimizers_itself(task: str, loop: str) -> None:
    with pytest.raises(ConfigError, match="a subclass, for a stock Trainer") as refused:
        compose(*CIRCLES, f"loop={loop}", f"task._target_={__name__}.{task}")
    (fault,) = refused.value.faults
    assert (fault.code, fault.key) == ("impossible-together", "task")


def test_a_task_may_ask_the_loop_for_its_optimizers() -> None:
    compose(*CIRCLES, f"task._target_={__name__}.AsksTheLoop")

"""What a task does wrong on its first batch is one line, before any folder is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.project import compose
from support.settings import CIRCLES
from torch import Tensor

from fourbeat import Task
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


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("Detached", "without a gradient"),
        ("KeyedWrongly", r"'point' \(KeyError, .*test_task_trial.py:\d+\)"),
        ("Unreduced", r"has the shape \[2\]: reduce it to one number"),
        ("Nameless", "steps.. yielded Tensor: yield a name and a loss"),
        ("Sum", "none of several 'loss', which is their sum"),
    ],
)
def test_a_task_that_cannot_train_is_named_with_the_reason(task: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        compose(*CIRCLES, f"task._target_={__name__}.{task}")
    (fault,) = refused.value.faults
    assert (fault.code, fault.key) == ("task-fails", "task")
    assert "The batch: 0 [2, 2], 1 [2]" in fault.hint

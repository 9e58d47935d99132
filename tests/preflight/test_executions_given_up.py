"""What sees each batch by itself costs executions, and is named at the start."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch import Callback
from support.project import compose
from torch import nn

import fourbeat
from fourbeat.preflight.executions import sees_each_batch, why_no_executions
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.tasks import Supervised
from project.data import Circles


class Ear(Callback):
    def on_train_batch_end(self, *_: Any) -> None: ...


class Averaging(Supervised):
    def on_train_batch_end(self, *_: Any) -> None: ...


class Turns(fourbeat.Task):
    def steps(self, batch: Any) -> Any:
        yield "", self.net(batch)


def supervised(kind: type[Supervised] = Supervised) -> Supervised:
    return kind(nn.Linear(2, 2), nn.CrossEntropyLoss())


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("task", "callbacks", "why"),
    [
        (supervised(), [], None),
        (supervised(), [Callback(), Ear()], "Ear has a hook for each batch"),
        (supervised(Averaging), [], "Averaging has a hook for each batch"),
        (Turns(nn.Linear(2, 2)), [], None),
    ],
    ids=["nobody", "callback", "task", "turns"],
)
def test_who_needs_each_batch_is_named(
    task: fourbeat.Task, callbacks: list[Callback], why: str | None
) -> None:
    assert why_no_executions(compose("trainer=cpu"), task, Circles(), callbacks) == why


@pytest.mark.slow
def test_who_asked_for_single_batches_reads_nothing_of_it() -> None:
    assert sees_each_batch(supervised(), Circles(), [Ear()]) == "Ear"
    for words in (["loop.steps_per_execution=1"], ["loop=automatic"], ["trainer.profiler=simple"]):
        assert (
            why_no_executions(compose("trainer=cpu", *words), supervised(), Circles(), [Ear()])
            is None
        )


@pytest.mark.slow
def test_turns_are_played_one_batch_at_a_time_where_steps_are_counted() -> None:
    task, cfg = Turns(nn.Linear(2, 2)), compose("trainer=cpu", "trainer.max_steps=3")
    why = "something counts steps, and Turns takes turns, any number a batch"
    assert why_no_executions(cfg, task, Circles(), []) == why
    cfg = compose("trainer=cpu")
    saves = [StateCheckpoint(every_n_train_steps=2)]
    assert why_no_executions(cfg, task, Circles(), saves) == why

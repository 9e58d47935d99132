"""What the decision when to validate stands on."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from support.stock_trainers import stock_trainer

from fourbeat.lightning.validation import watch_evaluations


def test_the_epoch_loop_asks_one_method_whether_to_validate() -> None:
    for method in ("advance", "on_advance_end"):
        source = inspect.getsource(getattr(_TrainingEpochLoop, method))
        asks = "self._should_check_val_fx(data_fetcher)" in source
        assert asks, f"{method} decides elsewhere whether to validate: see decide_validations"
    parameters = [*inspect.signature(_TrainingEpochLoop._should_check_val_fx).parameters]
    assert parameters == ["self", "data_fetcher"], "decide_validations replaces this method"


def test_the_loops_say_whether_an_epoch_validates_and_whether_to_stop_early() -> None:
    asked = inspect.signature(_TrainingEpochLoop._should_check_val_epoch).parameters
    assert [*asked] == ["self"], "decide_validations calls this method"
    assert isinstance(_FitLoop._can_stop_early, property), "decide_validations reads this property"


class Noting(LightningModule):
    """Notes in which order its hooks are called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def on_validation_start(self) -> None:
        self.calls.append("start")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.calls.append("transfer")
        return batch

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.calls.append("step")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.calls.append("step")

    def on_validation_end(self) -> None:
        self.calls.append("end")


def watched(trainer: Trainer, calls: list[str]) -> None:
    @contextmanager
    def around() -> Iterator[None]:
        calls.append("enter")
        yield
        calls.append("leave")

    watch_evaluations(trainer, around, lambda *indices: calls.append(f"batch {indices}"))


def test_evaluations_call_back_around_all_and_before_a_batch_is_transferred() -> None:
    module, trainer = Noting(), stock_trainer()
    for _ in range(2):  # watched again, it calls back once
        watched(trainer, module.calls)
    trainer.validate(module, [torch.ones(2, 1), torch.ones(1, 1)], verbose=False)
    each = ["transfer", "step"]
    expected = ["batch (0, 0)", *each, "batch (1, 0)", *each, "batch (0, 1)", *each]
    assert module.calls == ["enter", "start", *expected, "end", "leave"]


def test_a_test_calls_back_too_also_where_it_fails() -> None:
    class Fails(Noting):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            raise RuntimeError("it failed")

    module, trainer = Fails(), stock_trainer()
    watched(trainer, module.calls)
    with pytest.raises(RuntimeError, match="it failed"):
        trainer.test(module, torch.ones(2, 1), verbose=False)
    assert module.calls[:2] == ["enter", "batch (0, 0)"]


def test_the_evaluation_loop_transfers_a_batch_where_it_is_watched() -> None:
    parameters = [*inspect.signature(_EvaluationLoop._evaluation_step).parameters]
    assert parameters == ["self", "batch", "batch_idx", "dataloader_idx", "dataloader_iter"]

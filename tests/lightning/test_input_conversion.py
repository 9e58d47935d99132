"""Contract: Lightning passes each item of a loader through ``precision_plugin.convert_input``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import (
    DoublePrecision,
    HalfPrecision,
    MixedPrecision,
    Precision,
)
from torch.utils.data import DataLoader

from fourbeat.data import Execution, TensorExecution, map_tensors
from fourbeat.lightning.input_conversion import ConvertedLater, convert_later

CHANGED = (
    "fourbeat.lightning.input_conversion stands on Lightning calling the instance's convert_input "
    "on each item of a loader; see where Lightning's loops convert a batch now."
)


@dataclass(frozen=True)
class Frozen:
    inputs: torch.Tensor


def an_execution() -> TensorExecution:
    inputs = torch.arange(12, dtype=torch.float32).reshape(6, 2)
    return TensorExecution((inputs, torch.arange(6)), (2, 1), 0, torch.tensor([5, 3, 0]))


@pytest.mark.parametrize(
    ("plugin", "dtype"),
    [
        pytest.param(DoublePrecision(), torch.float64, id="64-true"),
        pytest.param(HalfPrecision("bf16-true"), torch.bfloat16, id="bf16-true"),
        pytest.param(MixedPrecision("bf16-mixed", "cpu"), torch.float32, id="bf16-mixed"),
        pytest.param(Precision(), torch.float32, id="32-true"),
    ],
)
def test_an_execution_is_converted_when_it_is_gathered(
    plugin: Precision, dtype: torch.dtype
) -> None:
    convert_later(plugin, map_tensors)
    convert_later(plugin, map_tensors)  # of a Trainer that is planned twice
    assert isinstance(an_execution(), ConvertedLater)
    execution = plugin.convert_input(an_execution())
    assert execution.tensors[0].dtype == torch.float32, "all of the split was converted"
    for inputs, targets in execution.mini_batches():
        assert inputs.dtype == dtype
        assert targets.dtype == torch.int64
    pair = plugin.convert_input((torch.ones(2), torch.ones(2).long()))
    assert [t.dtype for t in pair] == [dtype, torch.int64]
    batch = plugin.convert_input({"frozen": Frozen(torch.ones(2)), "names": ["a"]})
    assert (batch["frozen"].inputs.dtype, batch["names"]) == (dtype, ["a"])


class Items(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(2, 1)
        self.seen: list[tuple[str, torch.dtype]] = []

    def training_step(self, batch: Execution, batch_idx: int) -> torch.Tensor:
        self.seen.append(("fit", next(batch.mini_batches())[0].dtype))
        return self.net(batch.stacked()[0]).sum()

    def validation_step(self, batch: Execution, batch_idx: int) -> None:
        self.seen.append(("validate", next(batch.mini_batches())[0].dtype))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_converts_each_item_through_the_plugin_of_the_trainer() -> None:
    flags: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "max_steps": 1}
    trainer = Trainer(precision="64-true", accelerator="cpu", **flags, **quiet)
    convert_later(trainer.precision_plugin, map_tensors)
    module, loader = Items(), DataLoader([an_execution()], batch_size=None)
    trainer.fit(module, loader, loader)
    assert set(module.seen) == {("fit", torch.float64), ("validate", torch.float64)}, CHANGED

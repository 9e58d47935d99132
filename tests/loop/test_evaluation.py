"""What an evaluation draws is the same in any other, from the transfer of a batch on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from support.stock_trainers import stock_trainer
from torch import Tensor
from torch.utils.data import DataLoader

from fourbeat.data import adopt
from fourbeat.loop import LightningLoop
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.training.components import Components

SAMPLES = torch.arange(6.0)


class Noisy(LightningModule):
    """Draws where a batch is transferred and evaluated, and notes what it has got."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[Tensor] = []

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Tensor:
        return batch + torch.rand(1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch[:, None]).mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.seen.append(batch + torch.rand(1))

    test_step = validation_step

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader() -> DataLoader[Any]:
    return DataLoader(SAMPLES, 2, shuffle=True)  # type: ignore[arg-type]  # a loader that is kept


def seen(*, fits: bool, seed: int = 3) -> Noisy:
    torch.manual_seed(seed)
    module = Noisy()
    trainer = stock_trainer(max_epochs=1, num_sanity_val_steps=0, callbacks=[LightningLoop(3)])
    trainer.fit(module, loader(), loader()) if fits else trainer.validate(
        module, loader(), verbose=False
    )
    return module


@pytest.mark.filterwarnings("ignore:.*(many workers|shuffling enabled)")
def test_a_validation_after_a_training_sees_what_one_alone_sees() -> None:
    alone, after = seen(fits=False, seed=4), seen(fits=True)
    assert torch.equal(torch.cat(alone.seen), torch.cat(after.seen))
    assert len({float(each[0] - each.floor()[0]) for each in after.seen}) == 3  # other noise each


@pytest.mark.filterwarnings("ignore:.*(many workers|shuffling enabled)")
def test_an_evaluation_leaves_the_generators_of_the_training_alone() -> None:
    torch.manual_seed(3)
    trainer, module = stock_trainer(callbacks=[LightningLoop(3)]), Noisy()
    before = torch.get_rng_state()
    trainer.test(module, loader(), verbose=False)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.filterwarnings("ignore:.*(many workers|overridden `on_after_batch_transfer`)")
def test_so_does_a_validation_of_a_training_whose_states_are_saved(tmp_path: Path) -> None:
    after = []
    for limit in (0, 1.0):
        torch.manual_seed(3)
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=2,
            limit_val_batches=limit,
            num_sanity_val_steps=0,
            callbacks=[LightningLoop(3), StateCheckpoint(tmp_path / str(limit))],
        )
        trainer.fit(Noisy(), datamodule=adopt(LightningDataModule.from_datasets(SAMPLES, SAMPLES)))
        after.append(torch.get_rng_state())
    assert torch.equal(*after)


@pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`")
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_a_task_whose_transfer_draws_is_evaluated_as_in_its_training(
    fit_components: Callable[..., Components], loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = fit_components(f"loop={loop}", "loop.steps_per_execution=1")
    module, data, trainer = components.module, components.datamodule, components.trainer

    def moved(batch: Any, dataloader_idx: int) -> Any:
        return batch[0] + torch.rand(1), batch[1]

    monkeypatch.setattr(module, "on_after_batch_transfer", moved)
    measured = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        measured += trainer.test(module, datamodule=data, verbose=False)
    assert measured[0] == measured[1]

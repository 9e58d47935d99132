"""What this project relies on in Lightning's checkpoints; each sentence names what fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel
from lightning.pytorch.strategies import FSDPStrategy
from support.stock_trainers import stock_trainer

from fourbeat.lightning.checkpoints import dump_checkpoint, reads_through_plugin

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|LeafSpec).*")

WEIGHTS = {"epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops"}
REST = {"callbacks", "optimizer_states", "lr_schedulers"}


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    trainer = stock_trainer(
        max_steps=2,
        limit_val_batches=0,
        default_root_dir=tmp_path,
    )
    model, data = BoringModel(), BoringDataModule()
    model.save_hyperparameters({"a": 1}, logger=False)
    data.save_hyperparameters({"b": 1}, logger=False)
    trainer.fit(model, datamodule=data)
    return trainer


def test_a_checkpoint_has_the_keys_that_a_state_is_made_of(trainer: Trainer) -> None:
    assert dump_checkpoint(trainer).keys() == WEIGHTS | REST, (
        "Lightning's checkpoint has other keys: a TrainingState would miss something, or holds "
        "hyperparameters."
    )
    assert dump_checkpoint(trainer, weights_only=True).keys() == WEIGHTS


def test_its_tensors_are_the_trainings_own(trainer: Trainer) -> None:
    (name, weight), *_ = trainer.lightning_module.named_parameters()
    assert dump_checkpoint(trainer)["state_dict"][name].data_ptr() == weight.data_ptr(), (
        "Lightning copies the weights into a checkpoint: saving takes memory for them twice."
    )


def test_which_strategies_read_through_the_plugin_is_known(trainer: Trainer) -> None:
    assert reads_through_plugin(trainer)
    trainer.strategy.__class__ = FSDPStrategy
    assert not reads_through_plugin(trainer), (
        "FSDP no longer reads checkpoints by itself: a state that was read could be passed on."
    )

"""Programs of Lightning alone, as a project without any config of ours trains them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.demos.boring_classes import BoringModel, ManualOptimBoringModel
from programs.lightning_examples import Sequences, SmallLSTM, SmallTransformer, Text
from programs.lit_modules import (
    AccumulatingByHand,
    AddingGroups,
    BlobData,
    Classifier,
    ManualGAN,
    PassingData,
    SteppingEverySecondTime,
    Thawing,
    Unscheduled,
    WeightedData,
)
from programs.template_pair import PointsData, PointsModule
from torch import nn

import fourbeat
from fourbeat.base.process import set_up_process
from fourbeat.state.checkpoint import StateCheckpoint
from fourbeat.state.training_state import Moment

Pair = tuple[LightningModule, Any]


class KeepsItsNetwork(PointsModule):
    """As the template's first versions: the network is one of the hyperparameters."""

    def __init__(self, net: nn.Module, optimizer: Any, scheduler: Any) -> None:
        super().__init__(net, optimizer, scheduler)
        self.save_hyperparameters(logger=False)


class CarryingLSTM(SmallLSTM):
    """Saves what it carries from batch to batch, as the page on modules says."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hidden"] = self.hidden and [each.detach() for each in self.hidden]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.hidden = checkpoint["hidden"]


def template() -> Pair:
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 3))
    with warnings.catch_warnings():  # Lightning's, that the network is there twice
        warnings.simplefilter("ignore")
        module = KeepsItsNetwork(
            net,
            partial(torch.optim.Adam, lr=0.01),
            partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=1),
        )
    return module, PointsData()


def of_itself(kind: type[LightningModule]) -> Pair:
    module = kind()
    return module, module


MAKERS: dict[str, Callable[[], Pair]] = {
    "boring": partial(of_itself, BoringModel),
    "boring by hand": partial(of_itself, ManualOptimBoringModel),
    "transformer": lambda: (SmallTransformer(), Text()),
    "lstm": lambda: (CarryingLSTM(), Sequences()),
    "template": template,
    "gan": lambda: (ManualGAN(), BlobData()),
    "accumulating": lambda: (AccumulatingByHand(), BlobData()),
    "every second step": lambda: (SteppingEverySecondTime(), BlobData()),
    "thawing": lambda: (Thawing(), BlobData()),
    "adding groups": lambda: (AddingGroups(), BlobData()),
    "stream": lambda: (Unscheduled(), PassingData()),
    "weighted, two workers": lambda: (Classifier(), WeightedData(num_workers=2)),
}


def build(name: str, folder: Path, **flags: Any) -> tuple[Trainer, LightningModule, Any]:
    """Return what trains a program, and is resumed and replayed in the folder."""
    set_up_process()  # other tests of this process may have: then denormal numbers are flushed
    seed_everything(1, workers=True, verbose=False)
    module, data = MAKERS[name]()
    states = fourbeat.StateCheckpoint(
        folder, every_n_train_steps=7, save_snapshots=24, max_time_share=1
    )
    recorder = fourbeat.RecorderCallback(folder=folder, layers_every_n_steps=4)
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[recorder, states],
        **{
            "default_root_dir": folder,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "max_epochs": 2,
            **flags,
        },
    )
    return trainer, module, fourbeat.adopt(data, seed=1)


def train(name: str, folder: Path, **flags: Any) -> Trainer:
    """Train a program, or resume its training, in the folder."""
    trainer, module, data = build(name, folder, **flags)
    states: Any = trainer.checkpoint_callback
    trainer.fit(module, datamodule=data, ckpt_path=states.find_last())
    return trainer


def train_until(name: str, folder: str, moment: int | None) -> None:
    """Train, and kill this process at the n-th moment, counted from 1."""
    # As in a user's process: workers of a server's would not notice that their parent is dead.
    multiprocessing.set_start_method("fork", force=True)
    if moment is not None:
        left = [moment]

        def on_moment(self: StateCheckpoint, now: Moment) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        StateCheckpoint.on_moment = on_moment  # type: ignore[method-assign]
    train(name, Path(folder))

"""fourbeat as its users run it from Python, and bare Lightning on the same Trainer and loader."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

import fourbeat
from benchmarks.clock import EpochClock
from benchmarks.network import LEARNING_RATE, mlp, probabilities
from benchmarks.rivals import Trained
from benchmarks.rivals.lightning_clock import LightningClock, WrittenClock
from benchmarks.samples import Samples
from benchmarks.task import Task
from fourbeat.training.assembly import build_components
from project import PROJECT


def run_dir(task: Task) -> Path:
    """Return the run folder: one for each rival, two of which may share a process and a folder."""
    return Path(f"run_{task.rival}")


def settings(task: Task) -> list[str]:
    """What a user would type for a task; everything else is as ``conf/`` has it."""
    own = [
        "data._target_=benchmarks.tiled_digits.TiledDigits",
        f"+data.num_samples={task.num_samples}",
        f"data.batch_size={task.batch_size}",
        "data.val_fraction=0",
        "data.test_fraction=0",
        f"model.hidden_features={list(task.hidden)}",
        f"optim.lr={LEARNING_RATE}",
        "trainer.accelerator=cpu",
        f"trainer.max_epochs={task.num_epochs}",
        # All samples are trained on, so there is nothing to validate and to stop by.
        "callbacks.early_stopping=null",
        "callbacks.model_checkpoint.monitor=train/loss_epoch",
        "callbacks.progress=bar",
    ]
    if task.steps_per_execution is not None:
        own.append(f"loop.steps_per_execution={task.steps_per_execution}")
    return own


OFF = "callbacks.recorder=null"
"""Nobody else records: the loops are compared without."""


def eager(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop."""
    return _train(task, OFF)


def recorded(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop and the recorder."""
    return _train(task)


def compiled_recorded(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop, compiled, and the recorder."""
    return _train(task, "loop.compile=true")


def alternating(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop, recorded in every other epoch."""
    return _train(task, OFF, clock="benchmarks.rivals.own_clocks.AlternatingRecorder")


def beside_bare(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop, and after each epoch by hand."""
    return _train(task, OFF, clock=BESIDE_BARE)


def compiled_beside_bare(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop, compiled, and after each epoch by hand."""
    return _train(task, OFF, "loop.compile=true", clock=BESIDE_BARE)


def saving(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop, and measure the time of its saves."""
    return _train(task, OFF, clock="benchmarks.rivals.own_clocks.SavingClock")


def compiled(task: Task, samples: Samples) -> Trained:
    """Train with the four-beat loop, compiled."""
    return _train(task, OFF, "loop.compile=true")


def automatic(task: Task, samples: Samples) -> Trained:
    """Train with Lightning's automatic optimization."""
    return _train(task, OFF, "loop=automatic")


BESIDE_BARE = "benchmarks.rivals.own_clocks.BesideBare"
WRITTEN = "benchmarks.rivals.lightning_clock.WrittenClock"


def _train(task: Task, *overrides: str, clock: str = WRITTEN) -> Trained:
    clock_file = Path(f"clock_{task.rival}.json")
    extra = f"+callbacks.extra.clock={{_target_: {clock}, path: {clock_file}}}"
    cfg = fourbeat.compose(PROJECT, *overrides, *settings(task), extra)
    run = fourbeat.train(PROJECT, cfg, run_dir(task))
    predict = partial(probabilities, run.model)
    return Trained(WrittenClock.read(clock_file), run.manifest.num_steps, predict)


class BareModule(LightningModule):
    """The least that Lightning trains: nothing is logged at a step, nothing is saved.

    Args:
        net: The network.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss."""
        inputs, targets = batch
        loss: Tensor = self.loss(self.net(inputs.flatten(start_dim=1)), targets)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log once, when the clock has stopped: the checkpoint callback asks for this metric."""
        self.log("train/loss_epoch", 0.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimizer that fourbeat's default is."""
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE, fused=True)


def bare_lightning(task: Task, samples: Samples) -> Trained:
    """Train a module that does nothing else, with the Trainer and loader of ``loop=automatic``."""
    torch.set_flush_denormal(True)
    cfg = fourbeat.compose(PROJECT, "loop=automatic", OFF, *settings(task))
    components = build_components(PROJECT, cfg, run_dir(task))
    clock, module = EpochClock(), BareModule(mlp(task.hidden))
    components.trainer.callbacks.append(LightningClock(clock))  # type: ignore[attr-defined]
    components.trainer.fit(module, datamodule=components.datamodule)
    return Trained(clock, components.trainer.global_step, partial(probabilities, module.net))

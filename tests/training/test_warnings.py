"""Remarks of libraries are silenced around a training; what a user's own code says is shown."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from support.project import build, compose
from support.settings import BARE, CIRCLES, QUIET
from torch import Tensor

from fourbeat.lightning.torch_jit import TracerWarning
from fourbeat.training.components import Components
from fourbeat.training.running import run_fit
from fourbeat.training.warnings import expected_warnings


def branch(values: Tensor) -> Tensor:
    return values if values.sum() > 0 else -values


def trace() -> None:
    torch.jit.trace(branch, torch.ones(2))


def warn(text: str, kind: type[Warning] = UserWarning) -> Callable[[], None]:
    return lambda: warnings.warn(text, kind, stacklevel=1)


class Says(Callback):
    """A user's callback, which says something in the middle of a training."""

    def __init__(self, say: Callable[[], None]) -> None:
        self.say = say

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.say()


OWN = {
    "tracing": (trace, TracerWarning, "Converting a tensor"),
    "tracing is deprecated": (trace, DeprecationWarning, "torch.jit.trace. is deprecated"),
    "workers": (
        warn("The 'pool' does not have many workers which may be slow", PossibleUserWarning),
        PossibleUserWarning,
        "does not have many workers",
    ),
    "a folder": (
        warn("Checkpoint directory here exists and is not empty."),
        UserWarning,
        "exists and is not empty",
    ),
    "a property": (
        warn("This property will be removed in 2.0.0", DeprecationWarning),
        DeprecationWarning,
        "removed in 2.0.0",
    ),
    "an interval": (
        warn("5 is smaller than the logging interval", PossibleUserWarning),
        PossibleUserWarning,
        "smaller than the logging interval",
    ),
}


def components_of(folder: Path, *overrides: str) -> tuple[Components, Callable[[], None]]:
    cfg = compose(*QUIET, *CIRCLES, *BARE, "trainer.max_epochs=2", *overrides)
    components = build(cfg, folder)
    return components, lambda: run_fit(cfg, components)


@pytest.mark.one_in(99)
@pytest.mark.parametrize("case", OWN)
def test_a_warning_of_the_users_own_code_is_shown(tmp_path: Path, case: str) -> None:
    say, kind, text = OWN[case]
    components, fit = components_of(tmp_path)
    components.callbacks.append(Says(say))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        warnings.filterwarnings("always", category=kind)
        fit()
    found = [w for w in shown if issubclass(w.category, kind) and re.search(text, str(w.message))]
    assert len(found) >= 1
    if say is not trace:  # which gives two
        assert [str(w.message) for w in shown] == [str(found[0].message)]


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_a_run_that_draws_its_graph_says_nothing(tmp_path: Path, loop: str) -> None:
    """The network branches on a tensor, of which torch warns whenever it is traced."""
    components, fit = components_of(
        tmp_path,
        *(f"loop={loop}", "logger=[tensorboard]", "logger.tensorboard.log_graph=true"),
        "trainer.log_every_n_steps=50",
    )
    net = components.net
    net.register_forward_hook(lambda module, inputs, outputs: branch(outputs))
    (logger,) = components.trainer.loggers
    assert isinstance(logger, TensorBoardLogger)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit()
    assert "log_graph" not in vars(logger)
    assert list(Path(logger.log_dir).glob("events.*"))


def test_a_logger_that_somebody_has_changed_gets_its_own_method_back(tmp_path: Path) -> None:
    logger = TensorBoardLogger(str(tmp_path))
    calls: list[object] = []

    def draw(*args: object) -> None:
        calls.append(args)

    logger.log_graph = draw  # type: ignore[method-assign]
    module = LightningModule()
    with expected_warnings([logger]):
        logger.log_graph(module)
    assert logger.log_graph is draw
    assert calls == [(module,)]

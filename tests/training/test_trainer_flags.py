"""Each flag of the Trainer can be set and does what it says, or is refused with a reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy
from support.project import build, compose, resume, train
from torch.utils.data import DataLoader

from fourbeat.base.errors import RunError
from fourbeat.callbacks import StopWithoutImprovement
from fourbeat.config.forbidden_flags import FORBIDDEN
from fourbeat.config.schema import TrainerConfig
from fourbeat.config.second_names import SECOND_NAMES
from fourbeat.run import Run
from fourbeat.training.components import Components

LOOPS = ["four_beat", "automatic"]
SMALL = (
    *("data=circles", "model=circles", "data.num_samples=130", "data.batch_size=8"),
    *("trainer=cpu", "callbacks.progress=none", "logger=none"),
)
NEVER_BETTER = ("optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=1")

Fit = Callable[..., Components]


def run(folder: Path, *overrides: str) -> Run:
    return train(compose(*SMALL, *overrides), folder)


def test_each_flag_of_the_trainer_is_settable_or_refused_with_a_reason() -> None:
    flags = inspect.signature(Trainer.__init__).parameters.keys() - {"self"}
    homes = {name.partition(".")[2] for name in SECOND_NAMES}
    settable = set(TrainerConfig.model_fields)
    assert flags == settable | homes | FORBIDDEN.keys(), "decide what becomes of a new flag"
    assert not settable & FORBIDDEN.keys()
    assert all(home.reason and home.hint for home in FORBIDDEN.values())


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_no_early_stop_comes_before_min_epochs(tmp_path: Path, loop: str) -> None:
    stopped = run(tmp_path, f"loop={loop}", *NEVER_BETTER, "trainer.min_epochs=4")
    assert (stopped.manifest.num_epochs, stopped.outcome.status) == (4, "stopped_early")
    assert "did not improve" in stopped.outcome.reason


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_no_early_stop_comes_before_min_steps(tmp_path: Path, loop: str) -> None:
    stopped = run(tmp_path, f"loop={loop}", *NEVER_BETTER, "trainer.min_steps=30")
    # 12 steps an epoch: at the end of the second it would have stopped, of the third it may.
    assert stopped.manifest.num_steps == 36


class Measured(LightningModule):
    """Logs a given loss in each epoch."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.net, self.losses = torch.nn.Linear(1, 1), losses

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.net(batch).sum()

    def on_train_epoch_end(self) -> None:
        self.log("loss", self.losses[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("stopper", "num_epochs"),
    [
        pytest.param(EarlyStopping, 3, id="Lightning's ends it, though it has improved by then"),
        pytest.param(StopWithoutImprovement, 5, id="ours goes by what it sees after the minimum"),
    ],
)
def test_an_improvement_before_min_epochs_keeps_the_run_alive(
    stopper: type[EarlyStopping], num_epochs: int
) -> None:
    stopping = stopper("loss", patience=1, check_on_train_epoch_end=True)
    off = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = Trainer(
        **{**off, "enable_progress_bar": False, "accelerator": "cpu"},
        max_epochs=9,
        min_epochs=3,
        callbacks=[stopping],
    )
    loader = DataLoader([torch.ones(1)], batch_size=1)
    trainer.fit(Measured([1.0, 2.0, 0.5, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6]), loader)
    assert trainer.current_epoch == num_epochs
    assert stopping.stopping_reason_message
    assert stopping.state_key == EarlyStopping("loss").state_key


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.slow
def test_max_time_ends_a_run_and_counts_over_its_resumes(tmp_path: Path, loop: str) -> None:
    endless = ("trainer.max_epochs=1000000", "callbacks.early_stopping=null")
    first = run(tmp_path, f"loop={loop}", *endless, "trainer.max_time=00:00:00:01")
    assert first.outcome.reason == "trainer.max_time=00:00:00:01 reached"
    assert first.outcome.status == "finished"
    assert first.manifest.num_steps > 0
    assert "test/loss" in first.metrics
    with pytest.raises(RunError, match=r"add trainer\.max_time=null"):
        resume(tmp_path)
    second = resume(tmp_path, ["trainer.max_time={seconds: 2}"])
    assert second.outcome.reason == "trainer.max_time={seconds:2} reached"
    assert second.manifest.num_steps > first.manifest.num_steps


@pytest.mark.slow
def test_max_time_waits_for_min_epochs(tmp_path: Path) -> None:
    many = ("trainer.max_time={seconds: 1}", "trainer.min_epochs=25", "trainer.max_epochs=1000000")
    ended = run(tmp_path, *many, "callbacks.early_stopping=null", "callbacks.recorder=null")
    assert ended.manifest.num_epochs >= 25
    assert ended.outcome.reason == "trainer.max_time={seconds:1} reached"


class Stops(Callback):
    """Asks for the end of the training after its first batch."""

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = True


def test_a_callback_that_ends_a_run_is_named_as_the_reason(tmp_path: Path) -> None:
    target = f"{Stops.__module__}.{Stops.__qualname__}"
    ended = run(tmp_path, f"+callbacks.mine._target_={target}")
    assert ended.outcome.status == "stopped_early"
    assert ended.outcome.reason == "Stops has set trainer.should_stop"
    assert ended.manifest.num_steps == 1


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", LOOPS)
def test_fast_dev_run_tries_everything_on_a_few_batches_and_keeps_nothing(
    tmp_path: Path, loop: str
) -> None:
    words = ("logger=[tensorboard,csv]", f"loop={loop}", "trainer.fast_dev_run=2")
    tried = run(tmp_path, *words, "trainer.max_epochs=7")
    assert (tried.manifest.num_steps, tried.manifest.num_epochs) == (2, 1)
    assert {"val/loss", "test/loss"} <= tried.metrics.keys()
    # No checkpoints, no logs: only what the recorder, which is none of Lightning's, writes down.
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"records"}
    assert tried.config["trainer"]["limit_train_batches"] == 2
    assert tried.config["logger"] == {}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", LOOPS)
def test_overfit_batches_gives_the_same_batches_in_each_epoch(
    fit_components: Fit, loop: str
) -> None:
    components = fit_components(f"loop={loop}", "trainer.overfit_batches=3")
    assert components.trainer.global_step == 6
    data = components.datamodule
    loader = data.train_dataloader()
    orders = []
    for epoch in range(2):
        loader.batch_sampler.sampler.set_epoch(epoch) if loader.batch_sampler else None
        orders.append(torch.cat([_inputs(item) for item in loader]))
    assert len(orders[0]) == 24
    assert torch.equal(*orders)
    assert torch.equal(orders[0], data.splits.train.inputs[:24])


def _inputs(item: Any) -> torch.Tensor:
    return item.stacked()[0] if hasattr(item, "stacked") else item[0]


def test_limit_predict_batches_limits_predictions(fit_components: Fit) -> None:
    components = fit_components("trainer.limit_predict_batches=2")
    outputs = components.trainer.predict(components.module, datamodule=components.datamodule)
    assert [len(batch) for batch in outputs or []] == [8, 8]


class Modes(Callback):
    """Notes whether each test runs in inference mode; a validation within a fit never does."""

    def on_test_batch_start(self, trainer: Trainer, *_: Any) -> None:
        trainer.seen = [*getattr(trainer, "seen", []), torch.is_inference_mode_enabled()]  # type: ignore[attr-defined]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("mode", [True, False])
def test_inference_mode_says_how_to_evaluate(fit_components: Fit, mode: bool) -> None:
    target = f"+callbacks.modes._target_={Modes.__module__}.{Modes.__qualname__}"
    words = (f"trainer.inference_mode={str(mode).lower()}", target, "trainer.max_epochs=1")
    components = fit_components(*words)
    components.trainer.test(components.module, datamodule=components.datamodule, verbose=False)
    seen: list[bool] = components.trainer.seen  # type: ignore[attr-defined]
    assert seen
    assert set(seen) == {mode}


@pytest.fixture
def cudnn_benchmark() -> Iterator[None]:
    was = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = was


@pytest.mark.usefixtures("cudnn_benchmark")
@pytest.mark.parametrize("value", [True, False])
def test_benchmark_lets_cudnn_time_its_algorithms(tmp_path: Path, value: bool) -> None:
    torch.backends.cudnn.benchmark = not value
    build(compose(*SMALL, f"trainer.benchmark={str(value).lower()}"), tmp_path)
    assert torch.backends.cudnn.benchmark is value


def test_a_strategy_can_be_a_leaf_and_batch_norm_synchronised(tmp_path: Path) -> None:
    leaf = "{_target_: lightning.pytorch.strategies.DDPStrategy, find_unused_parameters: true}"
    words = (f"trainer.strategy={leaf}", "trainer.sync_batchnorm=true")
    strategy = build(compose(*SMALL, *words), tmp_path).trainer.strategy
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["find_unused_parameters"] is True
    assert type(strategy._layer_sync).__name__ == "TorchSyncBatchNorm"


@pytest.mark.parametrize("strategy", ["single_device", "ddp_find_unused_parameters_false"])
def test_a_registered_strategy_is_taken_by_its_name(tmp_path: Path, strategy: str) -> None:
    assert build(compose(*SMALL, f"trainer.strategy={strategy}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "interval", "every"),
    [
        pytest.param(["trainer.val_check_interval=0.5"], 0.5, 1, id="a fraction"),
        pytest.param(
            ["trainer.val_check_interval=7", "trainer.check_val_every_n_epoch=null"],
            *(7, None),
            id="batches across epochs",
        ),
    ],
)
def test_the_interval_of_validations_reaches_the_trainer(
    tmp_path: Path, words: list[str], interval: float, every: int | None
) -> None:
    trainer = build(compose(*SMALL, "scheduler=plateau", *words), tmp_path).trainer
    assert (trainer.val_check_interval, trainer.check_val_every_n_epoch) == (interval, every)


@pytest.mark.slow
def test_what_does_not_change_the_computation_may_change_on_resume(tmp_path: Path) -> None:
    run(tmp_path, "trainer.max_epochs=1", "test=false")
    changes = [
        *("trainer.min_epochs=3", "trainer.min_steps=30", "trainer.max_time=01:00:00:00"),
        *("trainer.limit_predict_batches=1", "trainer.inference_mode=false"),
    ]
    assert resume(tmp_path, ["trainer.max_epochs=3", *changes]).manifest.num_epochs == 3

"""What the seam needs of Lightning's Trainer and its loops."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler, SimpleProfiler
from support.contracts import Seam, contract
from torch import Tensor, nn
from torch.utils.data import DataLoader

trainer_seam = Seam("trainer")

LOOPS = "lightning.pytorch.loops.fit_loop and training_epoch_loop"
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


class Net(LightningModule):
    def __init__(self, *, automatic: bool = True) -> None:
        super().__init__()
        self.automatic_optimization, self.layer = automatic, nn.Linear(2, 1)
        self.log_steps, self.hooks = False, []  # type: list[str]

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch).mean()
        if self.log_steps:
            self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.hooks.append("before step")

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        self.hooks.append("clip")


class Watch(Callback):
    """Asks the seam in a training."""

    def __init__(self, *, automatic: bool, count: bool = False) -> None:
        self.automatic, self.count = automatic, count
        self.counted: list[tuple[int, int, int]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.counter = trainer_seam.StepCounter(trainer, automatic=self.automatic)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.count:
            self.counter.increment()
        made = trainer_seam.steps_made(trainer)
        self.counted.append((self.counter.completed, trainer.global_step, made))


def fit(module: Net, *callbacks: Callback, **flags: Any) -> Trainer:
    loader = DataLoader(torch.ones(6, 2), batch_size=2)
    settings = {**QUIET, "max_epochs": 1, "logger": False, **flags}
    trainer = Trainer(callbacks=list(callbacks), **settings)
    trainer.fit(module, loader)
    return trainer


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval"),
]


@contract("lightning", "trainer.callbacks is the list that is called", see="Trainer.__init__")
def test_a_callback_that_is_added_to_the_list_is_called() -> None:
    watch = Watch(automatic=True)

    class Adds(Callback):
        def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
            trainer_seam.callbacks_of(trainer).append(watch)

    fit(Net(), Adds())
    assert len(watch.counted) == 3


@contract("lightning", "trainer.datamodule is what fit was given", see="_DataConnector")
def test_the_data_module_of_a_training_is_found_before_the_optimizers_are_built() -> None:
    class Data(LightningDataModule):
        def train_dataloader(self) -> Any:
            return DataLoader(torch.ones(6, 2), batch_size=2)

    class Asks(Net):
        def configure_optimizers(self) -> Any:
            self.found = trainer_seam.datamodule_of(self.trainer)
            return super().configure_optimizers()

    module, data = Asks(), Data()
    Trainer(**QUIET, logger=False, max_epochs=1).fit(module, datamodule=data)
    assert module.found is data


@contract("lightning", "loops have their loader", see="_combined_loader of the fit and eval loops")
def test_the_loader_that_is_read_is_found() -> None:
    class Data(LightningDataModule):
        def __init__(self) -> None:
            super().__init__()
            self.made: dict[str, Any] = {}

        def train_dataloader(self) -> Any:
            return self.made.setdefault("train", DataLoader(torch.ones(2, 2), batch_size=1))

        def val_dataloader(self) -> Any:
            self.made["val"] = DataLoader(torch.ones(1, 2))
            return self.made["val"]

        def test_dataloader(self) -> Any:
            return self.made.setdefault("test", DataLoader(torch.ones(1, 2)))

    found: list[tuple[str, Any, Any]] = []

    class Asks(Net):
        def note(self, split: str) -> None:
            found.append((split, trainer_seam.loader_of(self.trainer), data.made[split]))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.note("train")
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.note("val")

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.note("test")

    module, data = Asks(), Data()
    trainer = Trainer(**{**QUIET, "num_sanity_val_steps": 1}, logger=False, max_epochs=1)
    trainer.fit(module, datamodule=data)
    trainer.validate(module, datamodule=data, verbose=False)
    trainer.test(module, datamodule=data, verbose=False)
    assert [split for split, *_ in found] == ["val", "train", "train", "val", "val", "test"]
    assert all(one is other for _, one, other in found)


@contract("lightning", "trainer.profiler and log_every_n_steps are set", see="Trainer.__init__")
def test_profiler_and_interval_of_logging_are_those_that_were_given() -> None:
    assert isinstance(trainer_seam.profiler_of(Trainer(**QUIET, logger=False)), PassThroughProfiler)
    profiler = SimpleProfiler()
    trainer = Trainer(**QUIET, logger=False, profiler=profiler, log_every_n_steps=7)
    assert trainer_seam.profiler_of(trainer) is profiler
    assert trainer_seam.log_interval(trainer) == 7


@contract("lightning", "precision_plugin holds the scaler", see="MixedPrecision")
def test_the_loss_scaler_is_found_where_there_is_one() -> None:
    plain = Trainer(**QUIET, logger=False)
    assert type(trainer_seam.precision_of(plain)) is Precision
    assert trainer_seam.loss_scaler(plain) is None
    scaler = torch.amp.GradScaler("cpu")
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    mixed = Trainer(**QUIET, logger=False, plugins=[plugin])
    assert trainer_seam.precision_of(mixed) is plugin
    assert trainer_seam.loss_scaler(mixed) is scaler


@contract(
    "lightning",
    "Precision._after_closure calls on_before_optimizer_step, then clips",
    see="lightning.pytorch.plugins.precision.precision.Precision",
)
def test_hooks_and_clipping_come_between_backward_and_step() -> None:
    order: list[str] = []

    class Closes(Precision):
        def optimizer_step(self, optimizer: Any, model: Any, closure: Any, **kwargs: Any) -> Any:
            result = closure()
            model.hooks.clear()
            trainer_seam.finish_closure(self, model, optimizer)
            order.extend(model.hooks)
            return optimizer.step(**kwargs) or result

    fit(Net(), plugins=[Closes()], max_steps=1)
    assert order == ["before step", "clip"]


@contract(
    "lightning",
    "the loops count optimizer steps in optim_progress, and in optim_step_progress when manual",
    see="lightning.pytorch.loops.optimization and loops.progress",
)
@pytest.mark.parametrize("automatic", [True, False], ids=["automatic", "manual"])
def test_the_counter_of_steps_is_the_one_behind_global_step(automatic: bool) -> None:
    # In manual optimization this module makes no step, and the seam counts for it.
    watch = Watch(automatic=automatic, count=not automatic)
    trainer = fit(Net(automatic=automatic), watch)
    assert watch.counted == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    assert trainer.global_step == trainer_seam.steps_made(trainer) == 3


@contract("lightning", "epoch_progress.current.completed counts epochs", see=LOOPS)
def test_the_completed_epochs_are_known_when_the_training_is_over() -> None:
    assert trainer_seam.epochs_completed(fit(Net(), max_epochs=2)) == 2


@contract(
    "lightning",
    "the loggers' x-axis is _batches_that_stepped, which Lightning increments after the batch",
    see=f"{LOOPS}, and _LoggerConnector.log_metrics",
)
def test_what_is_logged_in_training_stands_at_the_step_that_was_set(tmp_path: Path) -> None:
    module = Net()
    module.log_steps = True

    class Tens(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            trainer_seam.set_logged_step(trainer, 10 * trainer.global_step - 1)

    logger = CSVLogger(str(tmp_path), name="", version="")
    fit(module, Tens(), logger=logger, log_every_n_steps=1)
    table = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    steps = [int(row.split(",")[table[0].split(",").index("step")]) for row in table[1:]]
    assert steps == [9, 19, 29]


@contract(
    "lightning",
    "lr_scheduler_configs has the interval of each scheduler",
    see="Trainer.lr_scheduler_configs and LRSchedulerConfig",
)
def test_the_interval_of_a_scheduler_is_known() -> None:
    trainer = fit(Net())
    (config,) = trainer.lr_scheduler_configs
    assert trainer_seam.scheduler_interval(trainer, config.scheduler) == "step"


@contract(
    "lightning",
    "ModelCheckpoint keeps its interval in _every_n_train_steps",
    see="lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
)
def test_the_interval_of_a_model_checkpoint_is_known() -> None:
    assert trainer_seam.step_interval(ModelCheckpoint(every_n_train_steps=5)) == 5
    assert trainer_seam.step_interval(ModelCheckpoint()) == 0


@contract(
    "lightning",
    "_get_rank reads the rank from the launchers' environment variables",
    see="lightning.fabric.utilities.rank_zero._get_rank",
)
def test_the_rank_of_a_process_comes_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert trainer_seam.process_rank() == 0
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert trainer_seam.process_rank() == 1
    monkeypatch.setenv("RANK", "3")
    assert trainer_seam.process_rank() == 3


@contract(
    "lightning",
    "its bar is a tqdm with these arguments",
    see="lightning.pytorch.callbacks.progress.tqdm_progress.Tqdm",
)
def test_the_bar_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with trainer_seam.Tqdm(desc="replaying", total=3, unit="step", delay=0, leave=False) as bar:
        bar.update()
        assert bar.n == 1
    assert "replaying" in capsys.readouterr().err


@contract("lightning", "LightningModule._trainer is what self.trainer returns", see="module.py")
def test_a_module_and_those_within_it_ask_another_for_a_while() -> None:
    outer = Net()
    outer.inner = Net()
    with trainer_seam.trainer_replaced(outer, SimpleNamespace(global_step=7)):
        assert outer.global_step == outer.inner.global_step == 7
    assert outer.global_step == outer.inner.global_step == 0


@contract("lightning", "global_step and current_epoch are counts of the fit loop", see=LOOPS)
@pytest.mark.parametrize("automatic", [True, False], ids=["automatic", "manual"])
def test_an_evaluation_is_placed_at_another_step_and_epoch(automatic: bool) -> None:
    trainer = fit(Net(automatic=automatic), Watch(automatic=automatic, count=not automatic))
    before = trainer.global_step, trainer.current_epoch
    with trainer_seam.placed_at(trainer, 7, 5):
        assert (trainer.global_step, trainer.current_epoch) == (7, 5)
    assert (trainer.global_step, trainer.current_epoch) == before

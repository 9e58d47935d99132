"""What this project relies on in Lightning's loops; each sentence names what no longer holds."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel, RandomDataset
from support.stock_trainers import stock_trainer
from torch.utils.data import DataLoader

from fourbeat.lightning.checkpoints import dump_checkpoint
from fourbeat.lightning.loops import (
    WRAPPED,
    begin_next_epoch,
    begin_with_validation,
    continue_epoch,
    count_epochs_done,
    count_steps_for_both,
    forget_sigterm,
    place_between_epochs,
    place_within_epoch,
    unwatch_loops,
    watch_loops,
)
from fourbeat.lightning.validation import watch_evaluations

NUM_BATCHES = 3

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|LeafSpec).*")


class Model(BoringModel):
    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(RandomDataset(32, NUM_BATCHES))

    val_dataloader = train_dataloader


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return stock_trainer(
        max_epochs=2,
        default_root_dir=tmp_path,
    )


class Noting(Callback):
    """Notes the hooks that a moment must come after."""

    def __init__(self, noted: list[str]) -> None:
        self.noted = noted

    def on_train_batch_end(self, *_: Any) -> None:
        self.noted.append("batch")

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self.noted.append("validation")

    def on_train_epoch_end(self, *_: Any) -> None:
        self.noted.append("epoch")

    def on_train_end(self, *_: Any) -> None:
        self.noted.append("end")


def test_the_moments_come_after_all_hooks_of_a_batch_and_an_epoch(trainer: Trainer) -> None:
    noted: list[str] = []
    trainer.callbacks.append(Noting(noted))  # type: ignore[attr-defined]
    watch_loops(
        trainer,
        lambda: noted.append("BEGIN"),
        lambda: noted.append("AFTER BATCH"),
        lambda: noted.append("AFTER EPOCH"),
        lambda: noted.append("BEFORE END"),
        lambda: noted.append("BEFORE VALIDATION"),
    )
    trainer.fit(Model())
    one = [*["batch", "AFTER BATCH"] * (NUM_BATCHES - 1), "batch"]
    one += ["BEFORE VALIDATION", "validation", "epoch", "AFTER EPOCH"]
    assert noted == ["BEGIN", *one, *one, "BEFORE END", "end"], (
        "Lightning's loops no longer end a batch and an epoch in on_advance_end, a training in "
        "on_run_end, or begin an epoch in on_advance_start: states would be captured in the middle "
        "of something."
    )


def test_what_watched_the_loops_leaves_no_trace(trainer: Trainer) -> None:
    watch_loops(trainer, *[lambda: None] * 3)
    batches = trainer.fit_loop.epoch_loop
    loops, names = (trainer.fit_loop, batches, batches.val_loop), (*WRAPPED, "run")
    assert all(any(name in vars(loop) for name in names) for loop in loops)
    unwatch_loops(trainer)
    assert not any(name in vars(loop) for loop in loops for name in names)


def test_a_validation_that_is_watched_by_others_is_so_within(trainer: Trainer) -> None:
    noted: list[str] = []

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        noted.append("enter")
        yield
        noted.append("leave")

    trainer.callbacks.append(Noting(noted))  # type: ignore[attr-defined]
    watch_evaluations(trainer, around, lambda *indices: None)
    theirs = vars(trainer.fit_loop.epoch_loop.val_loop)["run"]
    for _ in range(2):  # watched again, it calls back once
        watch_loops(trainer, *[lambda: None] * 4, lambda: noted.append("BEFORE VALIDATION"))
    trainer.fit(Model())
    one = ["BEFORE VALIDATION", "enter", "validation", "leave"]
    assert [each for each in noted if each not in ("batch", "epoch", "end")][-8:] == [*one, *one]
    unwatch_loops(trainer)
    assert vars(trainer.fit_loop.epoch_loop.val_loop)["run"] is theirs


def resumed(trainer: Trainer, checkpoint: dict[str, Any], restore: Any) -> list[int]:
    """The steps at the end of each batch after the loops of a checkpoint were restored."""
    steps: list[int] = []
    watch_loops(
        trainer,
        lambda: restore(trainer) if not steps else None,
        lambda: steps.append(trainer.global_step),
        lambda: steps.append(trainer.global_step),
    )
    trainer.strategy.checkpoint_io.load_checkpoint = lambda *_, **__: checkpoint  # type: ignore
    trainer.fit(Model(), ckpt_path="held")
    return steps


def checkpoint_of(trainer: Trainer, step: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def capture() -> None:
        if trainer.global_step == step:
            found.append(copy.deepcopy(dump_checkpoint(trainer)))

    watch_loops(trainer, lambda: None, capture, capture)
    trainer.fit(Model())
    return found[0]


def test_loops_placed_between_epochs_begin_the_next_one(trainer: Trainer, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(trainer, NUM_BATCHES)
    assert count_epochs_done(checkpoint["loops"]) == 1, (
        "The loops of a checkpoint no longer count the epochs done as epoch_progress.processed."
    )
    place_between_epochs(checkpoint["loops"])
    assert resumed(trainer, checkpoint, begin_next_epoch) == [4, 5, 6], (
        "Loops whose counters are those between two epochs no longer begin the next epoch."
    )


@pytest.mark.parametrize("finds_place", [False, True])
def test_loops_placed_within_an_epoch_continue_with_its_next_batch(
    trainer: Trainer, finds_place: bool
) -> None:
    checkpoint = checkpoint_of(trainer, 2)
    place_within_epoch(checkpoint["loops"], 2)
    seen: list[bool] = []

    def restore(trainer: Trainer) -> None:
        continue_epoch(trainer, finds_place=finds_place)
        seen.append(trainer.fit_loop.restarting)

    before = list(warnings.filters)
    warned = pytest.warns(UserWarning, match="ended before the epoch ended")
    with contextlib.nullcontext() if finds_place else warned:
        steps = resumed(trainer, checkpoint, restore)
    assert steps == [3, 4, 5, 6], (
        "Loops whose counters are those within an epoch no longer continue it with the next batch."
    )
    assert seen[0] is False, "FitLoop._restarting is no longer what fit_loop.restarting returns."
    assert warnings.filters == before
    assert "reset" not in vars(trainer.fit_loop.epoch_loop)


def test_loops_placed_after_a_validation_do_not_end_its_batch_again(tmp_path: Path) -> None:
    flags: dict[str, Any] = {"max_epochs": 2, "default_root_dir": tmp_path, "val_check_interval": 2}
    checkpoint = checkpoint_of(stock_trainer(**flags), 2)
    place_within_epoch(checkpoint["loops"], 2)
    steps = resumed(stock_trainer(**flags), checkpoint, partial(continue_epoch, finds_place=True))
    assert steps == [3, 4, 5, 6], (
        "Loops restored within an epoch no longer ask _should_check_val_fx before their first "
        "batch, or end a batch, with its plateau scheduler, where it says that a validation is due."
    )


def test_loops_captured_before_a_validation_begin_with_it(trainer: Trainer, tmp_path: Path) -> None:
    found, noted = list[dict[str, Any]](), list[str]()
    watch_loops(
        trainer, *[lambda: None] * 4, lambda: found.append(copy.deepcopy(dump_checkpoint(trainer)))
    )
    trainer.fit(Model())
    fresh = stock_trainer(max_epochs=2, default_root_dir=tmp_path, callbacks=[Noting(noted)])

    def restore(trainer: Trainer) -> None:
        continue_epoch(trainer, finds_place=True)
        begin_with_validation(trainer)

    resumed(fresh, found[0], restore)
    one = ["validation", "epoch"]
    assert noted == [*one, *["batch"] * NUM_BATCHES, *one, "end"], (
        "Loops whose epoch has no batch left no longer ask whether the validation is due, or train."
    )


def test_the_flag_of_lightnings_signal_handler_is_where_it_was(trainer: Trainer) -> None:
    trainer._signal_connector.received_sigterm = True
    assert trainer.received_sigterm
    forget_sigterm(trainer)
    assert not trainer.received_sigterm, (
        "trainer.received_sigterm is no longer the signal connector's flag."
    )


@pytest.mark.parametrize("automatic", [True, False], ids=["automatic", "manual"])
def test_a_checkpoint_counts_the_steps_of_both_kinds_of_optimization(
    trainer: Trainer, automatic: bool
) -> None:
    class Manual(Model):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.step(batch)
            if not self.automatic_optimization:
                self.manual_backward(loss)
                self.optimizers().step()
            return loss

    model = Manual()
    model.automatic_optimization = automatic
    trainer.fit(model)
    loops = dump_checkpoint(trainer)["loops"]
    count_steps_for_both(loops)
    model.automatic_optimization = not automatic
    other = stock_trainer(max_epochs=2)
    other.strategy.connect(model)
    other.fit_loop.load_state_dict(loops["fit_loop"])
    assert other.global_step == trainer.fit_loop.total_batch_idx + 1 == 2 * NUM_BATCHES, (
        "Lightning keeps its counts of steps elsewhere: a checkpoint that a stock Trainer "
        "continues begins at step 0."
    )

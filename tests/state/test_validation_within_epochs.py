"""Validation within an epoch: when it runs, what it judges, and that a resume repeats nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
import torch
from benchmarks.torture.comparison import differences
from lightning.pytorch import Callback, LightningModule, Trainer
from support.finished_runs import FinishedRuns
from support.project import build, compose
from support.settings import SMALL

from fourbeat.run import Run
from fourbeat.state.file import read_state
from fourbeat.state.training_state import Position
from fourbeat.training.running import run_fit

# 182 samples for training: 12 batches of 16, the last one short.
WITHIN = ("trainer.val_check_interval=0.25",)
NEVER_BETTER = ("optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=6")
LOOPS = {
    "automatic": ["loop=automatic"],
    "one by one": ["loop.steps_per_execution=1"],
    "executions": ["loop.steps_per_execution=2"],
    "one execution": [],
}


class Validated(Callback):
    """Notes after which optimizer steps the validation ran."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.steps.append(trainer.global_step)


def validated_after(tmp_path: Path, overrides: Sequence[str]) -> list[int]:
    cfg = compose(*SMALL, "callbacks.early_stopping=null", *overrides)
    components, validated = build(cfg, tmp_path), Validated()
    components.callbacks.append(validated)
    run_fit(cfg, components)
    return validated.steps


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        pytest.param(["trainer.val_check_interval=0.25"], range(3, 37, 3), id="a fraction"),
        pytest.param(["trainer.val_check_interval=5"], [5, 10, 17, 22, 29, 34], id="a number"),
        pytest.param(
            ["trainer.val_check_interval=4", "trainer.check_val_every_n_epoch=2"],
            [16, 20, 24],
            id="in each second epoch",
        ),
        pytest.param(
            ["trainer.val_check_interval=15", "trainer.check_val_every_n_epoch=null"],
            [15, 30],
            id="across epochs",
        ),
        pytest.param(
            ["trainer.val_check_interval=6", "loop.accumulate_grad_batches=4"],
            range(1, 10),
            id="between steps",
        ),
    ],
)
def test_it_runs_after_these_steps_in_every_loop(
    tmp_path: Path, loop: list[str], overrides: list[str], steps: Sequence[int]
) -> None:
    assert validated_after(tmp_path, [*loop, *overrides]) == list(steps)


CASES = {
    "automatic": (["loop=automatic"], [4, 10, 1, 12]),
    "one by one": (["loop.steps_per_execution=1"], [4, 10, 1, 12]),
    "executions": (["loop.steps_per_execution=2"], [3, 4, 5]),
    "right after a validation": (["loop.steps_per_execution=3"], [2, 3, 1, 4]),
    "accumulation": (["loop.accumulate_grad_batches=2", "loop.steps_per_execution=2"], [2, 4]),
    "plateau": (["scheduler=plateau", "scheduler.patience=0"], [3, 2]),
    "plateau, automatic": (["scheduler=plateau", "scheduler.patience=0", "loop=automatic"], [9, 8]),
    "across epochs": (
        [
            *("trainer.val_check_interval=5", "trainer.check_val_every_n_epoch=null"),
            "scheduler=plateau",
        ],
        [2, 2, 2],
    ),
    "early stopping": (
        ["optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=6"],
        [3, 2],
    ),
    "several best": (["callbacks.model_checkpoint.save_top_k=3"], [3, 4]),
    "monitored training": (["callbacks.model_checkpoint.monitor=train/loss_epoch"], [3, 4]),
    "drawn in the validation": (["model=mlp", "model.dropout=0.5", "data.num_workers=1"], [3, 4]),
}


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "moments"), CASES.values(), ids=CASES)
def test_an_interrupted_run_ends_bitwise_identical(
    finished: FinishedRuns,
    interrupted: Callable[..., Run],
    overrides: list[str],
    moments: list[int],
) -> None:
    overrides = [*WITHIN, *overrides]
    one = finished(*overrides)
    other = interrupted(overrides, moments)
    assert len(other.manifest.resumed) == len(moments)
    assert not list(differences(one.dir, other.dir))


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_the_best_state_may_be_one_within_an_epoch(finished: FinishedRuns, loop: list[str]) -> None:
    """Of equal states, the earliest is the best."""
    run = finished(*WITHIN, *loop, *NEVER_BETTER)
    position = Position.of(read_state(run.checkpoint("best")))
    assert (position.moment, position.epoch, position.step) == ("within an epoch", 0, 3)


@pytest.mark.parametrize(
    "loops",
    [
        pytest.param(["automatic", "one execution"], id="two"),
        pytest.param(LOOPS, id="all", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_both_loops_judge_and_stop_alike(finished: FinishedRuns, loops: Iterable[str]) -> None:
    runs = [finished(*WITHIN, *LOOPS[loop], *NEVER_BETTER) for loop in loops]
    assert {run.manifest.num_steps for run in runs} == {21}
    assert {run.outcome.status for run in runs} == {"stopped_early"}
    weights = [read_state(run.checkpoint("last"))["state_dict"] for run in runs]
    assert all(torch.equal(w[name], weights[0][name]) for w in weights for name in weights[0])

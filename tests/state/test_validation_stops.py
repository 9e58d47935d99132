"""A signal within a validation: the run stops there, and its resume repeats the validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.torture.comparison import differences
from support.finished_runs import FinishedRuns
from support.interruptions import stop_in_validations
from support.settings import SMALL

from fourbeat.state import checkpoint_files

ONE_BY_ONE = "loop.steps_per_execution=1"
CASES = {
    "executions": ([], [1, 2]),
    "one by one": ([ONE_BY_ONE], [2, 5, 1]),
    "automatic": ([ONE_BY_ONE, "loop=automatic"], [2, 5, 1]),
    "within epochs": ([ONE_BY_ONE, "trainer.val_check_interval=0.25"], [5, 9, 1]),
    "across epochs": (
        [*("trainer.val_check_interval=5", "trainer.check_val_every_n_epoch=null"), ONE_BY_ONE],
        [2, 5],
    ),
    "accumulation": ([ONE_BY_ONE, "loop.accumulate_grad_batches=5"], [2, 4]),
    "plateau": ([ONE_BY_ONE, "scheduler=plateau", "scheduler.patience=0"], [1, 4]),
    "workers": (["data.num_workers=1"], [1, 2]),
    "averaged weights": (
        [
            *("+callbacks.ema._target_=lightning.pytorch.callbacks.EMAWeightAveraging",),
            ONE_BY_ONE,
        ],
        [2, 4],
    ),
}


@pytest.mark.parametrize(
    ("overrides", "batches"),
    [
        pytest.param(*case, id=name, marks=() if name == "one by one" else pytest.mark.slow)
        for name, case in CASES.items()
    ],
)
def test_the_resumed_run_begins_with_the_validation_and_ends_bitwise_identical(
    finished: FinishedRuns,
    tmp_path: Path,
    stop_at_validation_batch: Callable[[int], None],
    overrides: list[str],
    batches: list[int],
) -> None:
    whole, folder = finished(*overrides), tmp_path / "stopped"
    positions = stop_in_validations([*SMALL, *overrides], batches, stop_at_validation_batch, folder)
    assert {position.moment for position in positions} == {"before a validation"}
    assert not list(differences(whole.dir, folder))


@pytest.mark.slow
def test_a_state_that_is_too_large_to_be_held_is_written_before_the_validation(
    finished: FinishedRuns,
    tmp_path: Path,
    stop_at_validation_batch: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, folder = finished(ONE_BY_ONE), tmp_path / "stopped"
    monkeypatch.setattr(checkpoint_files, "MOST_HELD_BYTES", 0)
    positions = stop_in_validations([*SMALL, ONE_BY_ONE], [2, 1], stop_at_validation_batch, folder)
    assert {position.moment for position in positions} == {"before a validation"}
    assert not list(differences(whole.dir, folder))

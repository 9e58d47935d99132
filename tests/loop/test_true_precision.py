"""64-true and bf16-true: weights and batches in that dtype, in both loops, with executions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.finished_runs import FinishedRuns
from support.interruptions import Train
from support.project import evaluate

from fourbeat.training.components import Components

DTYPES = {"64-true": torch.float64, "bf16-true": torch.bfloat16}


@pytest.mark.slow
@pytest.mark.parametrize("precision", DTYPES)
def test_loops_and_executions_end_with_the_same_weights(
    fit_components: Callable[..., Components], precision: str
) -> None:
    ways = [
        ["loop=automatic"],
        ["loop=four_beat", "loop.steps_per_execution=1"],
        ["loop=four_beat"],
    ]
    fitted = [fit_components(f"trainer.precision={precision}", *way) for way in ways]
    weights = [components.net.state_dict() for components in fitted]
    assert fitted[2].datamodule.execution_plan.steps_per_execution > 1
    assert fitted[0].trainer.global_step == 24
    for name, weight in weights[0].items():
        assert weight.dtype == DTYPES[precision]
        assert all(torch.equal(weight, other[name]) for other in weights[1:])


@pytest.mark.slow
def test_compiled_steps_get_the_batches_in_the_precision(
    fit_components: Callable[..., Components],
) -> None:
    overrides = ["trainer.precision=64-true", "trainer.max_steps=6", "optim=sgd"]
    eager = fit_components(*overrides).module.net.state_dict()
    compiled = fit_components(*overrides, "loop.compile=true").module.net.state_dict()
    for name, weight in eager.items():
        assert compiled[name].dtype == torch.float64
        torch.testing.assert_close(compiled[name], weight, rtol=1e-12, atol=1e-12)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.slow
def test_a_whole_run_with_records_and_test_can_be_interrupted(
    finished: FinishedRuns, interrupted: Train, precision: str
) -> None:
    overrides: Sequence[str] = [f"trainer.precision={precision}"]
    whole = finished(*overrides)
    resumed = interrupted(overrides, [3])
    final: list[Any] = [
        torch.load(r.checkpoint("last"), weights_only=True) for r in (whole, resumed)
    ]
    for name, weight in final[0]["state_dict"].items():
        assert torch.equal(weight, final[1]["state_dict"][name])
    assert whole.metrics == resumed.metrics


@pytest.mark.slow
def test_an_evaluation_in_double_precision_gives_the_runs_own_result(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = finished.copy(tmp_path / "run", "trainer.precision=64-true")
    assert evaluate(run.dir) == {k: v for k, v in run.metrics.items() if k.startswith("test/")}

"""Weights that are built late, or left out of checkpoints, and what several loaders measure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from programs.catalogue import BASE
from programs.conformance import broken_by_a_stop, broken_by_an_evaluation
from support.commands import Command
from support.finished_runs import FinishedRuns
from support.project import build, compose

from fourbeat.base.errors import ConfigError, RunError
from fourbeat.state.export import export_weights
from fourbeat.state.file import write_state


def settings(module: str, data: str = "lit_modules.BlobData") -> tuple[str, ...]:
    own = (f"task._target_=programs.late.{module}", f"data._target_=programs.{data}")
    return ("experiment=lit_weighted", *own)


EACH = [
    pytest.param(settings("Configured"), id="configure_model"),
    pytest.param(settings("LeftOut"), id="left out"),
    pytest.param(settings("LeftOutByAHook"), id="left out by a hook"),
    pytest.param(settings("Several", "late.SeveralData"), id="several loaders"),
]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("words", EACH)
def test_it_is_evaluated_as_it_was_measured(runs: FinishedRuns, words: tuple[str, ...]) -> None:
    assert not list(broken_by_an_evaluation(runs(*words)))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("words", EACH)
def test_it_is_resumed_bitwise(
    runs: FinishedRuns, words: tuple[str, ...], stop_at: Any, tmp_path: Path
) -> None:
    run = runs(*words)
    assert not list(broken_by_a_stop(run, [*BASE, *words], [4], stop_at, tmp_path / "stopped"))


@pytest.mark.slow
def test_it_is_resumed_bitwise_where_a_hook_ends_each_epoch(
    runs: FinishedRuns, stop_at: Any, tmp_path: Path
) -> None:
    words = settings("EndsEpochs")
    run = runs(*words)
    assert run.manifest.num_steps == 10
    found = broken_by_a_stop(run, [*BASE, *words], [8, 2], stop_at, tmp_path / "stopped")
    assert not list(found)


def test_each_loader_has_results_of_its_own(runs: FinishedRuns) -> None:
    measured = runs(*settings("Several", "late.SeveralData")).metrics
    for split in ("val", "test"):
        first, second = (measured[f"{split}/each/dataloader_idx_{i}"] for i in range(2))
        assert measured[f"{split}/loss"] == first != second
        assert math.isfinite(second)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("words", EACH[:3])
def test_the_whole_network_is_exported(
    script: Command, runs: FinishedRuns, words: tuple[str, ...], tmp_path: Path
) -> None:
    run, file = runs(*words), tmp_path / "model.pt"
    assert script("export.py", f"run={run.dir}", f"file={file}").code == 0
    weights = torch.load(file, weights_only=True)
    assert weights.keys() == run.model.state_dict().keys()
    assert all(torch.equal(weights[n], w) for n, w in run.model.state_dict().items())
    assert (
        run.manifest.num_parameters
        == sum(p.numel() for p in run.model.parameters() if p.requires_grad)
        > 0
    )


def test_no_weights_are_no_export(tmp_path: Path) -> None:
    write_state(tmp_path / "a.ckpt", {"state_dict": {"head.weight": torch.ones(2)}})
    with pytest.raises(RunError, match=r"none of its weights is one of the Identity's"):
        export_weights(tmp_path / "a.ckpt", tmp_path / "a.pt", net=torch.nn.Identity())
    assert not (tmp_path / "a.pt").exists()


def test_a_model_that_is_configured_from_data_is_refused_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fails in configure_model: ") as refused:
        build(compose(*BASE, *settings("NeedsData")), tmp_path / "run")
    (fault,) = refused.value.faults
    assert (fault.code, fault.key) == ("cannot-build", "task")
    assert not (tmp_path / "run").exists()

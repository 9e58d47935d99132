"""Rates that are changed under a schedule that knows its peaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from inspector.test_inspector import inspect, train
from support import project
from training.test_resuming import CYCLE

from fourbeat.state.file import read_state

pytestmark = pytest.mark.slow

ONE_CYCLE = ["scheduler=onecycle"]
PEAKS: dict[str, tuple[list[str], float | None]] = {
    "of_the_group": (ONE_CYCLE, None),
    "given": ([*ONE_CYCLE, "scheduler.max_lr=0.002"], 0.001),
    # As all runs had it before schedules took their peaks from the groups.
    "given_formerly": ([*ONE_CYCLE, "scheduler.max_lr=0.001", "~scheduler.peak"], 0.0005),
}


@pytest.mark.parametrize(("overrides", "peak"), PEAKS.values(), ids=PEAKS.keys())
def test_a_branch_at_half_the_rate_does_what_the_inspector_did(
    tmp_path: Path, overrides: list[str], peak: float | None
) -> None:
    run, folder = train(tmp_path / "run", *overrides), tmp_path / "branch"
    lines = ("goto 14", "set optim.lr=0.0005", "run 3", f"save {folder}", "goto 35 step")
    typing = inspect(run, *lines)
    branch = project.resume(folder)
    assert branch.config["optim"]["lr"] == 0.0005
    assert branch.config["scheduler"]["max_lr"] == peak
    ended = read_state(branch.checkpoint("last"))["state_dict"].values()
    assert all(map(torch.equal, ended, typing.weights[-1]))


@pytest.mark.parametrize("overrides", [ONE_CYCLE, CYCLE], ids=["onecycle", "cycle"])
def test_the_peak_of_one_layer_alone_is_scaled(tmp_path: Path, overrides: list[str]) -> None:
    run = train(tmp_path / "run", *overrides)
    seen: list[list[dict[str, Any]]] = []
    for factor in (1, 0.25):
        lines = ["goto 10", f"set optim.lr.layers.0={0.001 * factor}", "run 5"]
        (here,) = inspect(run, *lines).here[-1:]
        seen.append([dict(group) for group in here.components.trainer.optimizers[0].param_groups])
    plain, quartered = ([group["lr"] for group in groups] for groups in seen)
    assert quartered == [plain[0], pytest.approx(0.25 * plain[1])]
    assert plain[0] == plain[1]


def test_a_number_that_a_group_has_for_itself_is_not_changed_for_all(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "optim.groups=[{params:layers.0.*,lr:1e-4}]")
    typing = inspect(run, "goto 10", "set optim.lr=0.1", "set optim.eps=1e-7", "step")
    refused = [line for line in typing.shown if "optim.lr=0.1:" in line]
    assert len(refused) == 1
    assert "optim.lr.LAYER can" in refused[0]

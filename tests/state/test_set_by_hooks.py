"""What hooks set on Trainer and parameters is resumed, and gradients where they are pending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.torture.comparison import differences
from support.both_loops import LOOPS
from support.interruptions import StopAt, train_interrupted
from support.project import compose, train
from support.settings import SMALL

from fourbeat.state.file import read_state
from fourbeat.tasks import Supervised


class Decaying(Supervised):
    """Halves the gradients of the step before, and keeps them."""

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(0.5)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_gradients_that_a_hook_keeps_are_resumed(
    tmp_path: Path, stop_at: StopAt, loop: str
) -> None:
    task = "task._target_=state.test_set_by_hooks.Decaying"
    words = [*SMALL, *LOOPS[loop], task, "loop.steps_per_execution=1"]
    whole = train(compose(*words), tmp_path / "whole")
    stopped = train_interrupted(words, [5], stop_at, tmp_path / "stopped")
    assert not list(differences(whole.dir, stopped.dir))


@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_gradients_that_the_next_step_drops_take_no_place(tmp_path: Path, loop: str) -> None:
    run = train(compose(*SMALL, *LOOPS[loop], "trainer.max_epochs=1"), tmp_path / "run")
    (process,) = read_state(run.checkpoint("last"))["fourbeat"]["processes"]
    assert process["set_by_hooks"] == {"frozen": []}

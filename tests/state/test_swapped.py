"""Whether others than the saved weights are evaluated is noticed, said, and said again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from support.both_loops import optim
from support.commands import Command
from support.project import compose, evaluate, train
from support.settings import SMALL

from fourbeat.run import Run

SAID = "replaces the weights in evaluation: eval.py and export.py use the trained ones"
SHORT = (*SMALL, "logger=none", "trainer.max_epochs=1")
AVERAGING = "lightning.pytorch.callbacks.EMAWeightAveraging"


class Swap(Callback):
    """Evaluates other weights, as an EMA does that nobody saves."""

    trained: dict[str, Any] | None = None

    def swap_in(self, trainer: Any, module: Any) -> None:
        self.trained = {n: w.clone() for n, w in module.state_dict().items()}
        module.load_state_dict({n: w / 2 for n, w in self.trained.items()})

    def swap_out(self, trainer: Any, module: Any) -> None:
        module.load_state_dict(self.trained)


class AtStart(Swap):
    on_validation_start, on_validation_end = Swap.swap_in, Swap.swap_out


class AtEpoch(Swap):
    on_validation_epoch_start, on_validation_epoch_end = Swap.swap_in, Swap.swap_out


class ByData(Swap):
    def swap_in(self, trainer: Any, module: Any) -> None:
        self.trained = {n: p.data for n, p in module.named_parameters()}
        for parameter in module.parameters():
            parameter.data = parameter.data / 2

    def swap_out(self, trainer: Any, module: Any) -> None:
        for name, parameter in module.named_parameters():
            parameter.data = self.trained[name]

    on_validation_epoch_start, on_validation_epoch_end = swap_in, swap_out


class InTest(Swap):
    on_test_epoch_start, on_test_epoch_end = Swap.swap_in, Swap.swap_out


class Innocent(Callback):
    def on_validation_epoch_start(self, trainer: Any, module: Any) -> None:
        module.net.eval()
        with torch.no_grad():
            module.net(torch.zeros(1, 2))


class Evaluated(Callback):
    def on_test_epoch_start(self, trainer: Any, module: Any) -> None:
        assert trainer.optimizers, "what acts on a training has its state there"


def run_with(target: str, folder: Path, *words: str) -> Run:
    return train(compose(*SHORT, f"+callbacks.mine._target_={target}", *words), folder)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", [AtStart, AtEpoch, ByData, InTest])
def test_it_is_said_in_the_run_and_by_whoever_reads_it(
    kind: type, tmp_path: Path, capsys: pytest.CaptureFixture[str], script: Command
) -> None:
    run = run_with(f"{__name__}.{kind.__name__}", tmp_path / "run")
    assert "".join(capsys.readouterr()).count(f"{kind.__name__} {SAID}") == 1
    assert run.manifest.swapped_by == kind.__name__
    evaluate(run.dir)
    assert f"{kind.__name__} {SAID}" in "".join(capsys.readouterr())
    exported = script("export.py", f"run={run.dir}", f"file={tmp_path / 'model.pt'}")
    assert f"{kind.__name__} {SAID}" in exported.out + exported.err


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("target", "words"),
    [
        pytest.param(f"{__name__}.Innocent", [], id="nothing is replaced"),
        pytest.param(AVERAGING, ["+callbacks.mine.decay=0.9"], id="saved averages"),
    ],
)
def test_it_is_not_said_where_the_states_hold_what_is_evaluated(
    target: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_with(target, tmp_path / "run", *words)
    tested = {n: v for n, v in run.metrics.items() if n.startswith("test/")}
    assert evaluate(run.dir) == tested
    assert run.manifest.swapped_by == ""
    assert SAID not in "".join(capsys.readouterr())


def test_an_optimizer_with_modes_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = optim("support.user_hooks.ScheduleFree")
    run = run_with(f"{__name__}.Innocent", tmp_path / "run", *free)
    assert run.manifest.swapped_by == ""
    assert SAID not in "".join(capsys.readouterr())


def test_an_evaluation_has_no_callback_that_was_added(tmp_path: Path) -> None:
    run = run_with(f"{__name__}.Evaluated", tmp_path / "run")
    tested = {n: v for n, v in run.metrics.items() if n.startswith("test/")}
    assert evaluate(run.dir) == tested

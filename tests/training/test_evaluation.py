"""Measuring a run again, where what is measured depends on more than the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from support.finished_runs import FinishedRuns, listing
from support.project import compose, evaluate, resume, train
from support.settings import SMALL
from torch import nn

from fourbeat.base.errors import RunError
from fourbeat.base.registry import StateFunctions
from fourbeat.run import Run
from fourbeat.state.checkpoint_files import StateWriter
from fourbeat.state.replaced import ReplacedWeights
from fourbeat.state.training_state import Position
from fourbeat.tasks import Supervised


class Average:
    def __init__(self) -> None:
        self.value = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


class Scaled(Supervised):
    """The loss is scaled by how far the training is, and by an average that has a state."""

    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        super().__init__(net, loss)
        self.average = Average()

    def losses(self, batch: Any) -> Any:
        loss = super().losses(batch)
        if self.training:
            self.learn(loss.item())
            return loss
        self.log("val/own", self.own)  # in the test, too: as who asks for `training` alone
        # The later, the worse: the best state is not the last one.
        return loss * self.own * (self.global_step + 1) * (self.current_epoch + 1) * 10

    def learn(self, loss: float) -> None:
        self.average.value += loss

    @property
    def own(self) -> float:
        return self.average.value


class Saving(Scaled):
    """The same, by a number that Lightning's hooks save, and one that is registered."""

    seen = registered = 0.0

    def learn(self, loss: float) -> None:
        self.seen += 1
        self.registered += loss

    @property
    def own(self) -> float:
        return self.seen + self.registered

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seen"] = self.seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seen = checkpoint["seen"]

    def register_state(self, registry: Any) -> None:
        registry.register("own", StateFunctions(self._read, self._restore))

    def _read(self) -> dict[str, Any]:
        return {"registered": self.registered}

    def _restore(self, state: dict[str, Any]) -> None:
        self.registered = state["registered"]


PLAYED = [
    ("four_beat", "Saving"),
    pytest.param(("four_beat", "Scaled"), marks=pytest.mark.slow),
    pytest.param(("automatic", "Saving"), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=PLAYED, ids=str)
def scaled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    loop, task = request.param
    words = [f"loop={loop}", f"task._target_=training.test_evaluation.{task}"]
    cfg = compose(*SMALL, *words, "callbacks.early_stopping=null")
    return train(cfg, tmp_path_factory.mktemp("scaled") / "run")


@pytest.mark.one_in(4)
@pytest.mark.parametrize("split", ["val", "test"])
def test_a_state_is_measured_with_what_the_task_saves_at_the_step_of_its_own(
    scaled: Run, split: str
) -> None:
    own = {name: v for name, v in scaled.metrics.items() if name.startswith(split)}
    assert own
    assert evaluate(scaled.dir, split=split) == own
    assert scaled.manifest.num_steps == 36  # not those of the best state
    assert scaled.manifest.num_epochs == 3


def test_the_last_state_is_measured_at_the_last_step(scaled: Run) -> None:
    best, last = evaluate(scaled.dir), evaluate(scaled.dir, "last")
    assert last["test/loss"] > 3 * best["test/loss"]


def test_what_a_task_logs_in_the_test_is_no_value_of_the_validation(scaled: Run) -> None:
    assert scaled.metrics["val/own"] == evaluate(scaled.dir, split="val")["val/own"]
    assert not any(name.startswith("val/") for name in evaluate(scaled.dir))


SWA = "lightning.pytorch.callbacks.StochasticWeightAveraging"
AVERAGED = (
    *(f"+callbacks.swa._target_={SWA}", "+callbacks.swa.swa_lrs=0.01"),
    *("+callbacks.swa.swa_epoch_start=1", "trainer.max_epochs=3"),
)


LAST = Position("between epochs", epoch=3, batch=0, step=36, is_over=True)


class KilledError(BaseException):
    """Nobody handles it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (ReplacedWeights, "look"),
        (StateWriter, "write"),
        (Trainer, "validate"),
        (Trainer, "test"),
    ],
    ids=["before they are saved", "before the last state", "before the validation", "the test"],
)
def test_a_run_that_is_killed_at_its_end_ends_with_the_weights_that_a_callback_puts_in_place(
    owner: type, method: str, tmp_path: Path
) -> None:
    at_once = train(compose(*SMALL, *AVERAGED), tmp_path / "at once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, killed_when_over(getattr(owner, method)))
        with pytest.raises(KilledError):
            train(compose(*SMALL, *AVERAGED), tmp_path / "run")
    run = resume(tmp_path / "run")
    assert run.metrics == at_once.metrics
    measured = {n: v for n, v in run.metrics.items() if n.startswith("test/")}
    assert evaluate(run.dir) == evaluate(at_once.dir) == measured
    assert run.weights().name == "final_weights.ckpt"


def killed_when_over(method: Any) -> Any:
    def call(self: Any, *args: Any, **options: Any) -> Any:
        if getattr(next(iter(args), None), "position", LAST).is_over:
            raise KilledError
        return method(self, *args, **options)

    return call


def test_a_split_that_is_not_there_is_said_with_the_one_that_is(
    finished: FinishedRuns, tmp_path: Path
) -> None:
    run = finished("data.test_fraction=0", "logger=none", "trainer.max_epochs=1")
    with pytest.raises(RunError, match=r"split=test: .* no test split\. Use split=val"):
        evaluate(run.dir)
    assert evaluate(run.dir, split="val").keys() == {*run.metrics}


class Logging(Supervised):
    """Asks for the logger that it has in the training."""

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        self.logger.experiment.add_scalar("own", 1.0)
        return super().test_step(batch, batch_idx)


def test_a_module_finds_a_logger_in_an_evaluation_that_writes_nothing(tmp_path: Path) -> None:
    words = ["task._target_=training.test_evaluation.Logging", "logger=tensorboard"]
    run = train(compose(*SMALL, *words, "trainer.max_epochs=1"), tmp_path / "run")
    before = listing(run.dir)
    tested = {n: v for n, v in run.metrics.items() if n.startswith("test/")}
    assert evaluate(run.dir) == tested
    assert listing(run.dir) == before

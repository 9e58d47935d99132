"""A run from beginning to end: its folder, its manifest, measuring it again, resuming it."""

import csv
from pathlib import Path

import pytest
import torch
import yaml
from support.finished_runs import FinishedRuns
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import fourbeat
from fourbeat.base.errors import ConfigError, RunError
from fourbeat.config.schema import TrainConfig
from fourbeat.run import Run
from project import PROJECT

SMALL = [
    *("data=circles", "model=circles", "data.num_samples=130", "data.batch_size=16"),
    *("trainer=cpu", "trainer.max_epochs=3", "callbacks.progress=lines"),
]


def train(tmp_path: Path, *overrides: str) -> Run:
    return fourbeat.train(
        PROJECT, fourbeat.compose(PROJECT, *SMALL, *overrides), tmp_path / "run", overrides
    )


def events(run: Run) -> EventAccumulator:
    return EventAccumulator(str(run.dir / "tensorboard"), size_guidance={"scalars": 0}).Reload()


def test_a_run_folder_holds_all_that_is_needed_to_rerun_it(tmp_path: Path) -> None:
    run = train(tmp_path, "seed=7")
    manifest = Run.load(run.dir).manifest
    assert manifest.seed == 7
    assert manifest.overrides == ["seed=7"]
    assert manifest.outcome.status == "finished"
    assert manifest.outcome.reason == "trainer.max_epochs=3 reached"
    assert (manifest.num_epochs, manifest.num_steps) == (3, 18)
    assert manifest.environment.packages["torch"] == torch.__version__
    assert manifest.config == yaml.safe_load((run.dir / "config.yaml").read_text())
    assert run.checkpoint("best").is_file()
    assert run.checkpoint("last").is_file()


def test_the_config_of_a_run_gives_the_same_bits_again(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    one = finished()
    cfg = TrainConfig.model_validate(one.config)
    two = fourbeat.train(PROJECT, cfg, tmp_path / "run")
    same = zip(one.model.parameters(), two.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert one.metrics == two.metrics


@pytest.mark.slow
def test_seed_0_is_a_seed_like_any_other(finished: FinishedRuns) -> None:
    zero, other = finished("seed=0"), finished()
    assert (zero.manifest.seed, other.manifest.seed) == (0, 42)
    first = [next(iter(run.model.parameters())) for run in (zero, other)]
    assert not torch.equal(*first)


def test_checkpoints_hold_tensors_and_plain_data_only(finished: FinishedRuns) -> None:
    run = finished()
    for name in ("best", "last"):
        state = torch.load(run.checkpoint(name), weights_only=True)
        assert state["global_step"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("data", ["circles", "digits", "diabetes"])
def test_measuring_a_run_again_gives_bitwise_its_metrics(tmp_path: Path, data: str) -> None:
    overrides = [f"data={data}", "trainer.max_epochs=2", "trainer=cpu", "callbacks.progress=none"]
    overrides += ["model=circles"] * (data == "circles")
    run = fourbeat.train(PROJECT, fourbeat.compose(PROJECT, *overrides), tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    tested = fourbeat.evaluate(PROJECT, run.dir)
    assert tested == {n: v for n, v in run.metrics.items() if n.startswith("test/")}
    validated = fourbeat.evaluate(PROJECT, run.dir, split="val")
    assert validated == {n: v for n, v in run.metrics.items() if n.startswith("val/")}
    assert sorted(tmp_path.rglob("*")) == before


def test_early_stopping_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=1"]
    run = train(tmp_path, *overrides)
    assert run.outcome.status == "stopped_early"
    assert "val/loss did not improve" in run.outcome.reason
    assert "stopped early: Monitored metric val/loss did not improve" in capsys.readouterr().out


@pytest.mark.slow
def test_the_first_validation_that_is_best_is_kept(tmp_path: Path) -> None:
    """A learning rate this high only makes it worse: the best weights are the first ones."""
    run = train(tmp_path, "optim=sgd", "optim.lr=50", "trainer.max_epochs=4")
    values = [event.value for event in events(run).Scalars("val/loss")]
    assert run.metrics["val/loss"] == pytest.approx(min(values), rel=1e-6)


class Breaks(nn.Module):
    """Raises in the third training step, as somebody's own model may."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)
        self.num_calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.num_calls += self.training
        if self.num_calls == 3:
            raise ZeroDivisionError("a bug in the model")
        return self.layer(inputs)


def test_an_error_in_the_model_is_raised_and_noted(tmp_path: Path, monkeypatch) -> None:
    import sys
    import types

    module = types.ModuleType("users_model")
    module.Breaks = Breaks
    monkeypatch.setitem(sys.modules, "users_model", module)
    cfg = fourbeat.compose(
        PROJECT,
        *SMALL,
        "model._target_=users_model.Breaks",
        "~model.hidden_features",
        "~model.activation",
    )
    with pytest.raises(ZeroDivisionError, match="a bug in the model"):
        fourbeat.train(PROJECT, cfg, tmp_path / "run")
    outcome = Run.load(tmp_path / "run").outcome
    assert (outcome.status, outcome.reason) == ("failed", "ZeroDivisionError: a bug in the model")


def test_a_folder_that_holds_a_run_is_not_overwritten(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    finished.copy(tmp_path / "run")
    with pytest.raises(RunError, match="holds a run already"):
        train(tmp_path, "trainer.max_epochs=1")


def test_tensorboard_shows_curves_picture_and_hyperparameters(tmp_path: Path) -> None:
    run = train(tmp_path, "trainer.log_every_n_steps=3")
    log = events(run)
    assert [event.step for event in log.Scalars("train/loss")] == [2, 5, 8, 11, 14, 17]
    assert [event.step for event in log.Scalars("val/loss")] == [5, 11, 17]
    assert "val/confusion_matrix" in log.Tags()["images"]
    assert log.Scalars("lr-Adam")
    (final,) = log.Scalars("hp/val/loss")
    assert final.value == pytest.approx(run.metrics["val/loss"], rel=1e-6)


@pytest.mark.slow
def test_the_graph_can_be_drawn(tmp_path: Path) -> None:
    run = train(tmp_path, "trainer.max_epochs=1", "logger.tensorboard.log_graph=true")
    assert events(run).Tags()["graph"]


def test_csv_and_tensorboard_log_the_same_losses(finished: FinishedRuns) -> None:
    run = finished()  # with both
    with open(run.dir / "csv" / "metrics.csv") as file:
        rows = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    values = [event.value for event in events(run).Scalars("val/loss")]
    assert rows == pytest.approx(values, rel=1e-6)


def test_one_line_an_epoch_stands_on_the_console_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line.split("  ")[:2] for line in lines] == [
        [f"epoch {n}/3", f"step {6 * n}"] for n in (1, 2, 3)
    ]
    log = (run.dir / "train.log").read_text()
    assert all(line in log for line in lines)


@pytest.mark.slow
def test_a_finished_run_can_be_extended_in_its_folder(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = finished.copy(tmp_path / "run")
    longer = fourbeat.resume(PROJECT, run.dir, ["trainer.max_epochs=5"])
    assert longer.dir == run.dir
    assert (longer.manifest.num_epochs, longer.manifest.num_steps) == (5, 60)
    assert longer.manifest.resumed[0]["overrides"] == ["trainer.max_epochs=5"]
    assert longer.manifest.resumed[0]["from_step"] == 36
    assert [e.step for e in events(longer).Scalars("val/loss")] == [11, 23, 35, 47, 59]


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        pytest.param([], RunError, "this run has finished .* trainer.max_epochs=6", id="finished"),
        pytest.param(["nokey=1"], ConfigError, "nokey=1: is not a key", id="unknown key"),
        pytest.param(["optim=sgd"], ConfigError, "is a group", id="group"),
        pytest.param(["trainer.max_epochs=0"], ConfigError, "trainer.max_epochs=0", id="range"),
    ],
)
def test_a_resume_that_makes_no_sense_is_refused(
    tmp_path: Path,
    finished: FinishedRuns,
    overrides: list[str],
    error: type[Exception],
    message: str,
) -> None:
    run = finished.copy(tmp_path / "run")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(error, match=message):
        fourbeat.resume(PROJECT, run.dir, overrides)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_a_schedule_over_the_whole_training_cannot_be_stretched(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    run = finished.copy(tmp_path / "run", "scheduler=onecycle")
    with pytest.raises(ConfigError, match="OneCycleLR spans the whole training"):
        fourbeat.resume(PROJECT, run.dir, ["trainer.max_epochs=6"])


def test_a_run_that_stopped_early_stays_stopped_unless_asked_otherwise(
    tmp_path: Path, finished: FinishedRuns
) -> None:
    overrides = ["optim=sgd", "optim.lr=1e-30", "callbacks.early_stopping.patience=1"]
    run = finished.copy(tmp_path / "run", *overrides)
    with pytest.raises(RunError, match="stopped early"):
        fourbeat.resume(PROJECT, run.dir)
    on = fourbeat.resume(PROJECT, run.dir, ["callbacks.early_stopping=null"])
    assert on.outcome.status == "finished"


@pytest.mark.slow
def test_a_run_may_end_before_its_first_validation(tmp_path: Path) -> None:
    run = train(tmp_path, "trainer.max_steps=2")
    assert (run.outcome.status, run.manifest.num_steps) == ("finished", 2)
    assert not [name for name in run.metrics if name.startswith("lr-")]


@pytest.mark.slow
def test_the_best_weights_can_be_those_of_the_least_training_loss(tmp_path: Path) -> None:
    run = train(tmp_path, "callbacks.model_checkpoint.monitor=train/loss_epoch")
    assert run.checkpoint("best").is_file()


@pytest.mark.slow
def test_without_checkpoints_none_is_written_anywhere(tmp_path: Path) -> None:
    run = train(tmp_path, "callbacks.model_checkpoint=null")
    assert not list(run.dir.rglob("*.ckpt"))


@pytest.mark.slow
def test_without_a_test_split_nothing_is_tested(tmp_path: Path) -> None:
    run = train(tmp_path, "data.test_fraction=0.0")
    assert not [name for name in run.metrics if name.startswith("test/")]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["overfit", "limit", "one_batch", "profiler"])
def test_the_debug_presets_run(tmp_path: Path, preset: str) -> None:
    run = train(tmp_path, f"debug={preset}", "trainer.max_epochs=2", "data.batch_size=4")
    assert run.outcome.status == "finished"
    assert list(run.dir.glob("*profile*")) or preset != "profiler"

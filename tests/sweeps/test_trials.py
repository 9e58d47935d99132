from __future__ import annotations

import csv
import math
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fourbeat.base.errors import RunError
from fourbeat.config.schema import Mode
from fourbeat.run import MANIFEST_FILE, Outcome
from fourbeat.run.manifest import Status
from fourbeat.sweeps.callback import ERROR_FILE
from fourbeat.sweeps.trials import Trial, format_table, read_trials, write_csv

MakeRun = Callable[..., Path]
FINISHED = Outcome("finished")


def write_overrides(job: Path, overrides: Sequence[str]) -> None:
    (job / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(list(overrides)), job / ".hydra" / "overrides.yaml")


@pytest.fixture
def sweep(tmp_path: Path, make_run: MakeRun) -> Path:
    """Return a sweep of four jobs: two finished, one failed, one that left no manifest."""
    common = ["trainer.max_epochs=1"]
    make_run(
        tmp_path / "0",
        overrides=["optim=sgd", "+optim.x=1", *common],
        outcome=FINISHED,
        metrics={"train/loss": 0.4, "test/accuracy": 0.9, "val/loss": 0.52, "val/accuracy": 0.91},
    )
    make_run(
        tmp_path / "2",
        overrides=["optim=adam", "~optim.wd", *common],
        outcome=Outcome("stopped_early", "val/loss did not improve"),
        metrics={"train/loss": 0.1, "val/loss": 0.071234, "val/accuracy": 0.975},
    )
    make_run(
        tmp_path / "10",
        overrides=["optim=adamw", *common],
        outcome=Outcome("failed", "loss is NaN\nat step 3"),
        metrics={"val/loss": 0.01},
    )
    write_overrides(tmp_path / "1", ["optim=lion", *common])
    (tmp_path / "1" / ERROR_FILE).write_text("optim: there is no lion\n")
    (tmp_path / "multirun.yaml").touch()
    (tmp_path / "7").touch()
    return tmp_path


def test_the_jobs_come_in_the_order_of_their_numbers(sweep: Path) -> None:
    assert [(trial.number, trial.dir.name) for trial in read_trials(sweep)] == [
        (0, "0"),
        (1, "1"),
        (2, "2"),
        (10, "10"),
    ]


def test_a_job_with_a_manifest_is_what_the_manifest_says(sweep: Path) -> None:
    assert read_trials(sweep)[2] == Trial(
        2,
        sweep / "2",
        "stopped_early",
        "val/loss did not improve",
        ("optim=adam", "~optim.wd", "trainer.max_epochs=1"),
        {"train/loss": 0.1, "val/loss": 0.071234, "val/accuracy": 0.975},
    )


def test_a_job_without_a_manifest_has_failed_for_the_reason_in_its_error_file(sweep: Path) -> None:
    trial = read_trials(sweep)[1]

    assert (trial.status, trial.reason) == ("failed", "optim: there is no lion")
    assert trial.overrides == ("optim=lion", "trainer.max_epochs=1")
    assert trial.metrics == {}


def test_of_a_traceback_in_the_error_file_the_exception_is_the_reason(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    try:
        raise RuntimeError("sizes differ:\n\tfc.weight: 128 against 64\n")
    except RuntimeError:
        (tmp_path / "0" / ERROR_FILE).write_text(traceback.format_exc())

    assert read_trials(tmp_path)[0].reason == "RuntimeError: sizes differ:"


def test_an_override_with_an_interpolation_is_read_as_it_was_typed(tmp_path: Path) -> None:
    write_overrides(tmp_path / "0", ["model.width=${data.num_features}"])

    assert read_trials(tmp_path)[0].settings == {"model.width": "${data.num_features}"}


def test_a_job_that_left_nothing_has_failed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()

    assert read_trials(tmp_path) == [
        Trial(0, tmp_path / "0", "failed", "it left no manifest.json: it was killed or never began")
    ]


def test_a_job_with_a_damaged_manifest_has_failed(tmp_path: Path, make_run: MakeRun) -> None:
    job = make_run(tmp_path / "0")
    (job / MANIFEST_FILE).write_text("{")
    write_overrides(job, ["seed=1"])

    (trial,) = read_trials(tmp_path)

    assert trial.status == "failed"
    assert "is damaged" in trial.reason
    assert trial.overrides == ("seed=1",)


@pytest.mark.parametrize(
    ("outcome", "error", "status", "reason"),
    [
        (Outcome("running"), "", "running", ""),
        (Outcome("running"), "out of memory", "failed", "out of memory"),
        (Outcome("failed"), "out of memory", "failed", "out of memory"),
        (Outcome("failed", "NaN"), "out of memory", "failed", "NaN"),
        (Outcome("failed"), "", "failed", "it left no reason"),
        (FINISHED, "from an earlier try", "finished", ""),
    ],
    ids=["killed", "unfinished", "failed", "failed_and_said_why", "silent", "repaired"],
)
def test_the_manifest_and_the_error_file_together_say_how_a_job_stands(
    tmp_path: Path, make_run: MakeRun, outcome: Outcome, error: str, status: str, reason: str
) -> None:
    (make_run(tmp_path / "0", outcome=outcome) / ERROR_FILE).write_text(error)

    (trial,) = read_trials(tmp_path)

    assert (trial.status, trial.reason) == (status, reason)


def test_a_missing_sweep_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere: there is no such sweep folder"):
        read_trials(tmp_path / "nowhere")


def test_a_folder_without_jobs_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a sweep folder: it has no jobs.*train.py -m"):
        read_trials(tmp_path)


def test_the_table_has_the_best_job_first_and_the_failed_ones_last_with_their_reasons(
    sweep: Path,
) -> None:
    assert format_table(read_trials(sweep), "val/loss", "min").splitlines() == [
        "job  status         optim  optim.x  optim.wd   val/loss  val/accuracy  test/accuracy",
        "2    stopped_early  adam   -        (deleted)  0.07123   0.975         -",
        "0    finished       sgd    1        -          0.52      0.91          0.9",
        "10   failed         adamw  -        -          0.01      -             -",
        "1    failed         lion   -        -          -         -             -",
        "job 10: loss is NaN",
        "job 1: optim: there is no lion",
    ]


def numbers(trials: list[Trial], metric: str, mode: Mode) -> list[str]:
    return [row.split()[0] for row in format_table(trials, metric, mode).splitlines()[1:]]


def a_trial(number: int, value: float, status: Status = "finished") -> Trial:
    return Trial(number, Path(str(number)), status, metrics={"val/accuracy": value})


def test_with_max_the_largest_is_best() -> None:
    trials = [a_trial(0, 0.5), a_trial(1, 0.9), a_trial(2, 0.7)]

    assert numbers(trials, "val/accuracy", "max") == ["1", "2", "0"]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_or_inf_is_never_best(mode: Mode, value: float) -> None:
    trials = [a_trial(0, value), a_trial(1, 0.9)]

    assert numbers(trials, "val/accuracy", mode) == ["1", "0"]


def test_jobs_as_good_as_each_other_keep_their_order() -> None:
    trials = [a_trial(0, 0.5), a_trial(1, 0.5), a_trial(2, 0.5)]

    assert numbers(trials, "val/accuracy", "max") == ["0", "1", "2"]


def test_a_metric_that_no_job_has_is_a_column_of_dashes() -> None:
    lines = format_table([a_trial(0, 0.5)], "val/f1", "max").splitlines()

    assert lines == ["job  status    val/f1  val/accuracy", "0    finished  -       0.5"]


def test_a_job_whose_overrides_are_unknown_makes_no_column_of_its_own() -> None:
    known = Trial(0, Path("0"), "finished", overrides=("seed=1",))
    unknown = Trial(1, Path("1"), "failed", reason="killed")

    assert "seed" not in format_table([known, unknown], "val/loss", "min")


def test_of_an_override_given_twice_the_last_counts() -> None:
    assert Trial(0, Path("0"), "finished", overrides=("seed=1", "++seed=a=b")).settings == {
        "seed": "a=b"
    }


def test_the_csv_has_the_tables_order_all_overrides_and_all_metrics_in_full(sweep: Path) -> None:
    write_csv(read_trials(sweep), sweep / "sweep.csv", "val/loss", "min")

    with (sweep / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["2", "0", "10", "1"]
    assert list(rows[0]) == [
        *("job", "status", "reason", "optim", "optim.x", "trainer.max_epochs", "optim.wd"),
        *("train/loss", "test/accuracy", "val/loss", "val/accuracy"),
    ]
    assert float(rows[0]["val/loss"]) == 0.071234
    assert rows[0]["test/accuracy"] == ""
    assert rows[2]["reason"] == "loss is NaN\nat step 3"
    assert rows[3]["trainer.max_epochs"] == "1"


def test_nan_stays_nan_in_the_csv(tmp_path: Path) -> None:
    write_csv([a_trial(0, math.nan)], tmp_path / "sweep.csv", "val/accuracy", "max")

    assert (tmp_path / "sweep.csv").read_text() == (
        "job,status,reason,val/accuracy\n0,finished,,nan\n"
    )


def test_a_csv_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"sweep.csv: could not be written"):
        write_csv([], tmp_path / "nowhere" / "sweep.csv", "val/loss", "min")

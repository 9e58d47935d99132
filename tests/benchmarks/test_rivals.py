"""The rivals' code; three of them train for real, for twenty steps, in processes of their own."""

import ast
import math
import subprocess
import sys
from pathlib import Path

import benchmarks
import pytest
from benchmarks.processes import Launcher, interleaved, line
from benchmarks.rivals import RIVALS
from benchmarks.task import Task

FOLDER = Path(benchmarks.__file__).parent
FILES = sorted(path for path in FOLDER.rglob("*.py") if ".venv" not in path.parts)
NOWHERE = Path("/nowhere/python")


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def test_each_rival_has_its_function() -> None:
    for rival in RIVALS.values():
        module, function = rival.home.split(":")
        found = functions(FOLDER / "rivals" / f"{module}.py")[function]
        assert [argument.arg for argument in found.args.args] == ["task", "samples"], rival.home


def test_the_clock_has_no_hook_for_batches_which_would_change_what_it_measures() -> None:
    hooks = {n for n in functions(FOLDER / "rivals" / "lightning_clock.py") if n.startswith("on_")}
    assert hooks == {"on_train_epoch_start", "on_train_epoch_end", "on_train_end"}


def test_asking_for_help_needs_none_of_the_frameworks() -> None:
    heavy = {"torch", "lightning", "keras", "jax", "tensorflow", "sklearn", "skorch", "fourbeat"}
    code = f"import sys, benchmarks.__main__; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER.parent, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_functions_stay_short_docstrings_included() -> None:
    long = [
        f"{path.relative_to(FOLDER)}: {name}"
        for path in FILES
        for name, node in functions(path).items()
        if node.end_lineno - node.lineno + 1 > 40
    ]
    assert long == []


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["bare", "tutorial", "tutorial_in_process", "fourbeat"])
def test_a_rival_makes_its_steps_and_learns(rival: str, samples_dir: Path) -> None:
    task = Task(rival, batch_size=64, num_samples=640, num_epochs=2)
    measured = Launcher(samples_dir, NOWHERE).run(task)
    assert measured.failure == ""
    assert len(measured.epoch_s) == len(measured.rss_mib) == 2
    assert measured.num_steps == 20
    assert 0 < measured.step_us(task) < math.inf
    assert measured.loss < math.log(10)


@pytest.mark.slow
def test_of_an_alternating_run_every_other_epoch_is_recorded_and_none_else(
    samples_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.rivals import fourbeat_train
    from benchmarks.samples import Samples

    from fourbeat.recorder import read_records

    monkeypatch.chdir(tmp_path)
    task = Task("fourbeat_alternating", batch_size=64, num_samples=640, num_epochs=5)
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    fourbeat_train.alternating(task, Samples.read(samples_dir, 640))
    steps = read_records(tmp_path / fourbeat_train.run_dir(task)).steps.steps
    assert steps.tolist() == [*range(10, 20), *range(30, 40)]


@pytest.mark.slow
def test_epochs_by_hand_are_timed_between_the_others_but_for_the_first(samples_dir: Path) -> None:
    task = Task("fourbeat_beside_bare", batch_size=64, num_samples=640, num_epochs=3)
    measured = Launcher(samples_dir, NOWHERE).run(task)
    assert measured.failure == ""
    assert len(measured.epoch_s) == 1 + 2 * 2
    assert measured.num_steps == 30


@pytest.mark.slow
def test_saves_are_timed_within_their_epoch(samples_dir: Path) -> None:
    task = Task("fourbeat_saving", batch_size=64, num_samples=640, num_epochs=3)
    measured = Launcher(samples_dir, NOWHERE).run(task)
    assert measured.failure == ""
    assert len(measured.saving_s) == len(measured.epoch_s) == 3
    assert 0 < sum(measured.saving_s) < sum(measured.epoch_s)


@pytest.mark.slow
def test_what_a_rival_raises_is_its_measurement(samples_dir: Path) -> None:
    # Scikit-learn is there in our own environment, too.
    launcher = Launcher(samples_dir, Path(sys.executable))
    (record,) = interleaved("t", [Task("sklearn", batch_size=-1, num_samples=640)], 1, launcher)
    assert record.measurement.failure.startswith("InvalidParameterError: The 'batch_size'")
    assert line(record.task, record.measurement).endswith(record.measurement.failure)


def test_a_missing_environment_is_said_with_what_builds_it(samples_dir: Path) -> None:
    measured = Launcher(samples_dir, NOWHERE).run(Task("sklearn"))
    assert measured.failure == f"there is no {NOWHERE}; `make bench` builds it"


def test_who_takes_too_long_is_stopped(samples_dir: Path) -> None:
    measured = Launcher(samples_dir, NOWHERE, timeout_s=0.05).run(Task("bare"))
    assert measured.failure == "took longer than 0.05 s"


def test_a_process_that_dies_leaves_its_exit_code(samples_dir: Path) -> None:
    measured = Launcher(samples_dir, Path("/bin/false")).run(Task("sklearn"))
    assert measured.failure == "exit code 1: "

"""The default loop obeys what callbacks, tasks and optimizers do, as Lightning's does."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.both_loops import COMPARED, LOOPS, last_state, model, optim, same, train_each
from support.project import compose, resume, train
from support.settings import SMALL

from fourbeat.base.errors import ConfigError, RunError
from fourbeat.run import Run

HOOKS, LATE = "support.user_hooks", "support.late_changes"
CALLBACKS = {
    "Clamp": [],
    "TripledGradients": ["loop.gradient_clip_val=0.1"],
    "MoreAccumulation": ["scheduler=cosine"],
    "StretchedInputs": [],
    "FrozenForAnEpoch": [],
    "LateGroup": [],
    "OtherClipping": [],
}
CHANGES = {
    "LateMethods": [],
    "LateGradients": [],
    "AccumulationWithinEpochs": ["scheduler=onecycle"],
    "SteppedByEpochs": ["scheduler=onecycle"],
    "OtherOptimizer": ["scheduler=onecycle"],
    "ShrinkingRate": ["scheduler=onecycle"],
    "LogsEverywhere": ["loop.accumulate_grad_batches=5"],
}
TASKS = (
    "WarmedUp",
    "EverySecondStep",
    "OwnClipping",
    "TwiceScheduled",
    "Transferred",
    "SkippedRest",
    "LogsInLosses",
)
REASONS = {
    "StopAtStep": [f"+callbacks.mine._target_={HOOKS}.StopAtStep"],
    "StopAtEpoch": [f"+callbacks.mine._target_={HOOKS}.StopAtEpoch"],
    "StopFromLosses": [f"task._target_={HOOKS}.StopFromLosses"],
    "Timer": [
        "+callbacks.mine={_target_: lightning.pytorch.callbacks.Timer, duration: {seconds: 0}}"
    ],
    "stop (LambdaCallback)": [
        "+callbacks.mine={_target_: lightning.pytorch.callbacks.LambdaCallback, "
        f"on_before_backward: {{_target_: {HOOKS}.stop, _partial_: true}}}}"
    ],
}
OPTIMIZERS = {
    "LBFGS": optim("torch.optim.LBFGS"),
    "schedule-free": optim(f"{HOOKS}.ScheduleFree"),
    "one that asks for a closure": optim(f"{HOOKS}.AsksForAClosure"),
    "Muon": [*optim("torch.optim.Muon"), *model("Matrices")],
    "SparseAdam": [*optim("torch.optim.SparseAdam"), *model("SparseEmbedding")],
    "complex parameters": model("Complex"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLBACKS)
def test_what_a_callback_changes_counts_in_both_loops(name: str, tmp_path: Path) -> None:
    train_each(tmp_path, f"+callbacks.mine._target_={HOOKS}.{name}", *CALLBACKS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_within_a_training_counts_in_both_loops(name: str, tmp_path: Path) -> None:
    train_each(tmp_path, f"+callbacks.mine._target_={LATE}.{name}", *CHANGES[name])


@pytest.mark.slow
def test_a_limit_in_steps_holds_where_a_callback_changes_how_many_batches_a_step_has(
    tmp_path: Path,
) -> None:
    more = f"+callbacks.mine._target_={HOOKS}.MoreAccumulation"
    runs = train_each(tmp_path, more, "trainer.max_steps=9")
    assert {run.manifest.num_steps for run in runs.values()} == {9}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`")
@pytest.mark.parametrize("name", TASKS)
def test_a_tasks_own_hooks_are_called_in_both_loops(name: str, tmp_path: Path) -> None:
    train_each(
        tmp_path, f"task._target_={HOOKS}.{name}", "scheduler=cosine", "scheduler.interval=step"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_another_kind_trains_in_both_loops(name: str, tmp_path: Path) -> None:
    train_each(tmp_path, *OPTIMIZERS[name])


def test_a_hook_of_each_batch_that_comes_late_is_refused_beside_executions(tmp_path: Path) -> None:
    cfg = compose(*SMALL, "logger=none", f"+callbacks.mine._target_={LATE}.LateListener")
    with pytest.raises(RunError, match="AccumulationWithinEpochs has a hook for each batch"):
        train(cfg, tmp_path / "run")


@pytest.mark.slow
def test_and_is_obeyed_where_there_are_none(tmp_path: Path) -> None:
    late = f"+callbacks.mine._target_={LATE}.LateListener"
    runs = [
        train(compose(*SMALL, late, *words), tmp_path / words[0])
        for words in (["loop=automatic"], ["loop=four_beat", "loop.steps_per_execution=1"])
    ]
    one, other = (last_state(run.dir) for run in runs)
    assert not [key for key in COMPARED if not same(one[key], other[key])]


@pytest.mark.slow
@pytest.mark.parametrize("name", REASONS)
def test_who_ended_a_run_is_named(name: str, tmp_path: Path) -> None:
    for run in train_each(tmp_path, *REASONS[name]).values():
        outcome = Run.load(run.dir).outcome
        assert outcome.status == "stopped_early"
        assert outcome.reason == f"{name} has set trainer.should_stop"


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            f"task._target_={HOOKS}.StopIterationInForward",
            "StopIterationInForward.losses has raised StopIteration(forward's)",
        ),
        (
            f"+callbacks.mine._target_={HOOKS}.StopIterationInAHook",
            "a hook of the training has raised StopIteration(a hook's)",
        ),
    ],
    ids=["forward", "hook"],
)
def test_stop_iteration_is_an_error_and_no_end(
    loop: str, words: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="has raised StopIteration"):
        train(compose(*SMALL, "logger=none", *LOOPS[loop], words), tmp_path / "run")
    outcome = Run.load(tmp_path / "run").outcome
    assert outcome.status == "failed"
    assert reason in outcome.reason


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    ("words", "key", "part"),
    [
        ([*optim("torch.optim.Muon")], "optim._target_", "only supports 2D"),
        (model("SparseEmbedding"), "optim._target_", "does not support sparse gradients"),
        (
            [*optim("torch.optim.LBFGS"), "loop.accumulate_grad_batches=2"],
            "optim._target_",
            "not with loop.accumulate_grad_batches",
        ),
        (
            [
                *optim("torch.optim.SparseAdam"),
                *model("SparseEmbedding"),
                "loop.gradient_clip_val=1",
            ],
            "loop.gradient_clip_val",
            "cannot clip the sparse gradients",
        ),
    ],
    ids=["Muon and biases", "Adam and sparse", "LBFGS and accumulation", "clipping and sparse"],
)
def test_what_an_optimizer_refuses_is_its_own_fault(words: list[str], key: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part) as caught:
        compose(*SMALL, *words)
    (fault,) = caught.value.faults
    assert (fault.code, fault.key) == ("impossible-together", key)


def test_whole_numbers_stay_keys_in_config_manifest_and_resume(tmp_path: Path) -> None:
    scheduler = "lightning.pytorch.callbacks.GradientAccumulationScheduler"
    words = f"+callbacks.mine={{_target_: {scheduler}, scheduling: {{0: 1, 4: 2}}}}"
    cfg = compose(*SMALL, "logger=none", "trainer.max_epochs=1", words)
    assert cfg.callbacks.others["mine"].leaf()["scheduling"] == {0: 1, 4: 2}
    run = train(cfg, tmp_path / "run")
    assert run.config["callbacks"]["mine"]["scheduling"] == {0: 1, 4: 2}
    resume(run.dir, ["trainer.max_epochs=2"])
    assert Run.load(run.dir).config["callbacks"]["mine"]["scheduling"] == {0: 1, 4: 2}

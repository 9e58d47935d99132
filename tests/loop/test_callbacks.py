"""``docs/callbacks.md``: each of its lines, in both loops, and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.both_loops import last_state, leaf, model, same, train_each
from support.callbacks_page import PAGE, REFUSED, WORKING_CALLBACKS, Treatment, page
from support.interruptions import Train
from support.project import compose, train
from support.settings import SMALL

from fourbeat.base.errors import ConfigError

# A schedule that keeps values for each parameter group, of which this callback adds one.
BACKBONE = [*model("BackboneAndHead"), "task._target_=support.user_hooks.WithBackbone"]
NEEDS = {"BackboneFinetuning": [*BACKBONE, "scheduler=onecycle"]}
ADDED: dict[str, dict[str, Any]] = {
    "LambdaCallback": {
        "on_before_zero_grad": {"_target_": "support.user_hooks.shrink", "_partial_": True}
    }
}


def words_for(treatment: Treatment, folder: Path) -> list[str]:
    arguments = treatment.arguments | ADDED.get(treatment.name, {})
    if "dirpath" in arguments:
        arguments["dirpath"] = str(folder / "own")
    return [leaf(treatment.target, arguments), *NEEDS.get(treatment.name, [])]


def named(treatment: Treatment) -> str:
    return treatment.name


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text() == page()


@pytest.mark.one_in(99)
@pytest.mark.parametrize("treatment", WORKING_CALLBACKS, ids=named)
def test_a_callback_does_in_both_loops_the_same(treatment: Treatment, tmp_path: Path) -> None:
    train_each(tmp_path, *words_for(treatment, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "treatment",
    [t for t in WORKING_CALLBACKS if t.name not in ("Timer", "EarlyStopping")],
    ids=named,
)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_a_run_with_a_callback_is_resumed_exactly(
    treatment: Treatment, loop: str, interrupted: Train, tmp_path: Path
) -> None:
    steps = ["loop.steps_per_execution=5"] if loop == "four_beat" else []
    words = [f"loop={loop}", "logger=csv", *steps, *words_for(treatment, tmp_path)]
    at_once = train(compose(*SMALL, *words), tmp_path / "at once")
    killed = interrupted(words, [2, 2])
    one, other = last_state(at_once.dir), last_state(killed.dir)
    assert same(one["state_dict"], other["state_dict"])
    assert same(one["optimizer_states"], other["optimizer_states"])
    assert at_once.metrics == killed.metrics


@pytest.mark.one_in(5)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
@pytest.mark.parametrize("treatment", REFUSED, ids=named)
def test_what_is_refused_is_named_before_any_folder(
    treatment: Treatment, loop: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        train(compose(*SMALL, f"loop={loop}", *words_for(treatment, tmp_path)), tmp_path / "run")
    (fault,) = caught.value.faults
    assert (fault.code, fault.key) == ("not-supported", "callbacks.mine")
    assert treatment.refusal in str(fault)
    assert treatment.hint in str(fault)
    assert not (tmp_path / "run").exists()

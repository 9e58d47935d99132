"""``docs/callbacks.md``: what works, and what the check refuses: run it to write the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from fourbeat.preflight.callbacks import REFUSED_CALLBACKS

PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"
_MODULE = "lightning.pytorch.callbacks"


class Treatment(NamedTuple):
    """How a callback is treated, alike in both loops.

    Attributes:
        target: The class.
        arguments: An example of its arguments, with which it is tested.
        note: What is to be known of it where it works.
        refusal: Why it is refused; empty where it works.
        hint: What to do instead.
    """

    target: str
    arguments: dict[str, Any]
    note: str = ""
    refusal: str = ""
    hint: str = ""

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.target.rpartition(".")[2]


SINGLE = "sees each batch: no executions"

WORKING_CALLBACKS = (
    Treatment(
        f"{_MODULE}.BackboneFinetuning",
        {"unfreeze_backbone_at_epoch": 1},
        "the task has a property `backbone`; a schedule moves its rate as that of the first group",
    ),
    Treatment(f"{_MODULE}.DeviceStatsMonitor", {"cpu_stats": False}, SINGLE),
    Treatment(
        f"{_MODULE}.EarlyStopping",
        {"monitor": "val/accuracy", "mode": "max", "patience": 1},
        "also beside ours",
    ),
    Treatment(
        f"{_MODULE}.EMAWeightAveraging",
        {"decay": 0.9},
        f"{SINGLE}; its averages are validated, saved as best and tested",
    ),
    Treatment(
        f"{_MODULE}.GradientAccumulationScheduler",
        {"scheduling": {0: 1, 1: 2}},
        "schedules reckon with `loop.accumulate_grad_batches`",
    ),
    Treatment(f"{_MODULE}.LambdaCallback", {}, "each hook that it gets"),
    Treatment(f"{_MODULE}.LearningRateMonitor", {}, SINGLE),
    Treatment(
        f"{_MODULE}.ModelCheckpoint",
        {"every_n_train_steps": 5},
        "into a folder of its name",
    ),
    Treatment(f"{_MODULE}.ModelSummary", {}),
    Treatment(
        f"{_MODULE}.StochasticWeightAveraging",
        {"swa_lrs": 0.05, "swa_epoch_start": 1, "annealing_epochs": 2},
        "states are saved between epochs alone, where it can be restored",
    ),
    Treatment(f"{_MODULE}.Timer", {"duration": {"seconds": 0}}, "looks between executions"),
    Treatment(
        f"{_MODULE}.WeightAveraging",
        {},
        f"{SINGLE}; its averages are validated, saved as best and tested",
    ),
)

EXAMPLES: dict[str, dict[str, Any]] = {
    f"{_MODULE}.OnExceptionCheckpoint": {"dirpath": "on_exception"},
    f"{_MODULE}.ModelPruning": {"pruning_fn": "l1_unstructured", "amount": 0.3},
}
REFUSED = tuple(
    Treatment(each.target, EXAMPLES.get(each.target, {}), "", each.why, each.hint)
    for each in REFUSED_CALLBACKS
)
TREATMENTS = sorted((*WORKING_CALLBACKS, *REFUSED), key=lambda each: each.name.lower())

HEAD = """# Callbacks

Both loops obey what callbacks do, and end with bitwise the same weights. This table is written by
`tests/support/callbacks_page.py` (what is refused: `fourbeat/preflight/callbacks.py`); each of its
lines is a test, of training in both loops and of resuming.

A callback of your own works as these do. What it changes counts from then on: the Trainer's
`accumulate_grad_batches`, `gradient_clip_val`, `lr_scheduler_configs`, `should_stop`; the
optimizers' parameter groups; which parameters are frozen; the batch. A hook of each batch costs
executions, a hook of each backward or step (`on_before_zero_grad`, `on_before_backward`,
`on_after_backward`, `on_before_optimizer_step`, and a task's `optimizer_step`,
`optimizer_zero_grad`, `configure_gradient_clipping`, or one that is registered on an optimizer)
costs Lightning's own time per step. Either may come at any time, also as a method that is set on
an object; but a hook of each batch that comes when executions are under way ends the run, with the
advice `loop.steps_per_execution=1`.

The run's own validations and its test have all callbacks. `eval.py` and `export.py` have none of
those that the config adds, whose state is that of a training; what `build.py` adds is built again.
So they use the trained weights where a callback replaces them in evaluation, as an EMA of yours
does that is swapped in at `on_validation_epoch_start`: a line of the run says so, and theirs do
again. Use `EMAWeightAveraging`, whose averages the states hold. And a batch that
`on_test_batch_start` changes is changed in the run alone: do it in the task's `evaluate(batch)`.

| Callback | `loop=four_beat` | `loop=automatic` | |
|---|---|---|---|
"""


def row(treatment: Treatment) -> str:
    """Return a callback's line."""
    verdict, note = "works", treatment.note
    if treatment.refusal:
        verdict, note = "refused", f"it {treatment.refusal}. {treatment.hint}"
    return f"| `{treatment.name}` | {verdict} | {verdict} | {note} |\n"


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(map(row, TREATMENTS))


if __name__ == "__main__":
    PAGE.write_text(page())

"""``docs/callbacks.md``, from the table that the check refuses by: run it to write the page."""

from pathlib import Path

from fourbeat.preflight.callbacks import TREATMENTS, Treatment

PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"

HEAD = """# Callbacks

Both loops obey what callbacks do, and end with bitwise the same weights. This table is written by
`tests/support/callbacks_page.py` from the one by which the check refuses
(`fourbeat/preflight/callbacks.py`); each of its lines is a test, of training in both loops and of
resuming.

A callback of your own works as these do. What it changes counts from then on: the Trainer's
`accumulate_grad_batches`, `gradient_clip_val`, `lr_scheduler_configs`, `should_stop`; the
optimizers' parameter groups; which parameters are frozen; the batch. A hook of each batch costs
executions, a hook of each backward or step (`on_before_zero_grad`, `on_before_backward`,
`on_after_backward`, `on_before_optimizer_step`, and a task's `optimizer_step`,
`optimizer_zero_grad`, `configure_gradient_clipping`) costs Lightning's own time per step.

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

"""What is trained while it is killed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

# Short epochs, so that a kill often falls into a validation or an epoch's end, and saves as often
# as they can be made, so that it often falls into one.
COMMON = (
    *("trainer=cpu", "trainer.max_epochs=10", "trainer.log_every_n_steps=7"),
    *("data.batch_size=32", "model.dropout=0.3", "callbacks.progress=none"),
    *("scheduler=onecycle", "logger=[tensorboard,csv]"),
    "callbacks.model_checkpoint.train_time_interval_s=0.02",
    "callbacks.model_checkpoint.max_time_share=1",
)


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        overrides: What is typed after ``scripts/train.py``.
    """

    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """What distinguishes it."""
        return " ".join(self.overrides[: -len(COMMON)])


def cases() -> list[Case]:
    """Both loops, with and without worker processes, accumulation, validation within epochs."""
    loops = [
        "loop=four_beat loop.steps_per_execution=1",
        "loop=four_beat loop.steps_per_execution=32",
        "loop=automatic",
    ]
    parts = product((1.0, 0.25), (0, 2), (1, 3), loops)
    return [
        Case(
            (
                *loop.split(),
                f"data.num_workers={workers}",
                f"loop.accumulate_grad_batches={accumulated}",
                f"trainer.val_check_interval={interval}",
                *COMMON,
            )
        )
        for interval, workers, accumulated, loop in parts
    ]

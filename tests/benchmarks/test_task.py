import json

import pytest
from benchmarks.task import Measurement, Record, Task, num_epochs


def test_a_short_last_batch_is_a_step() -> None:
    task = Task("bare", batch_size=128, num_samples=60_000, num_epochs=3)
    assert (task.steps_per_epoch, task.num_steps) == (469, 1407)


def test_time_per_step_leaves_the_first_epoch_out() -> None:
    task = Task("bare", batch_size=10, num_samples=1000, num_epochs=3)
    assert Measurement(epoch_s=(50.0, 0.01, 0.03)).step_us(task) == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "expected"),
    [(60_000, 32, 2), (60_000, 128, 5), (1000, 10, 16)],
    ids=["one epoch holds enough", "four do", "fifteen do"],
)
def test_there_are_enough_epochs_for_the_steps(
    num_samples: int, batch_size: int, expected: int
) -> None:
    assert num_epochs(num_samples, batch_size, min_steps=1500) == expected


def test_a_record_survives_json() -> None:
    measured = Measurement((1.0, 2.0), (3.0, 4.0), 5, 0.6, 0.7)
    record = Record(Task("bare", hidden=(128, 64), steps_per_execution=8), measured, round=2)
    assert Record.of(json.loads(json.dumps(record.plain()))) == record

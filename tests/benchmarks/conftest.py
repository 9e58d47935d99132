from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.task import Measurement, Record, Task


@pytest.fixture(scope="session")
def samples_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks.tiled_digits import write

    folder = tmp_path_factory.mktemp("samples")
    write(folder, num_samples=640)
    return folder


@pytest.fixture
def record() -> Callable[..., Record]:
    """A record of a rival that took so many microseconds a step, over 1,000 steps in two epochs."""

    def make(rival: str, step_us: float, batch_size: int = 32, **measured: object) -> Record:
        task = Task(rival, batch_size, num_samples=500 * batch_size)
        epoch_s = (99.0, 500 * step_us / 1e6, 500 * step_us / 1e6)
        usual = {"rss_mib": (1.0, 1.0, 1.0), "num_steps": 1500, "loss": 0.01, "accuracy": 0.99}
        return Record(task, Measurement(epoch_s, **{**usual, **measured}))

    return make


@pytest.fixture
def failed() -> Callable[..., Record]:
    def make(rival: str, why: str, batch_size: int = 32) -> Record:
        return Record(Task(rival, batch_size), Measurement(failure=why))

    return make

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.alternation import OtherFailedError, end_openmp_threads, train_in_turns
from benchmarks.clock import EpochClock
from benchmarks.processes import Launcher
from benchmarks.task import Measurement, Task

pytestmark = pytest.mark.slow

NOWHERE = Path("/nowhere/python")


def training(name: str, num_epochs: int, log: list[str]) -> Callable[[], EpochClock]:
    def train() -> EpochClock:
        log.append(f"{name} starts")
        clock = EpochClock()
        for epoch in range(num_epochs):
            clock.begin()
            log.append(f"{name} {epoch}")
            clock.end()
            log.append(f"{name} saves")
        return clock

    return train


def failing(name: str, log: list[str]) -> Callable[[], None]:
    def train() -> None:
        training(name, 2, log)()
        raise ValueError(f"{name} failed")

    return train


def test_epochs_alternate_and_what_is_between_them_never_runs_beside_one() -> None:
    log: list[str] = []
    clocks = train_in_turns(training("a", 2, log), training("b", 2, log))
    rounds = [f"{name} {word}" for word in ("0", "1") for name in "ab"]
    saved = [entry for word in rounds for entry in (word, f"{word[0]} saves")]
    assert log == ["a starts", "b starts", *saved]
    assert [len(clock.epoch_s) for clock in clocks] == [2, 2]


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1)], ids=["first", "second"])
def test_who_ends_early_lets_the_other_finish(first: int, second: int) -> None:
    log: list[str] = []
    clocks = train_in_turns(training("a", first, log), training("b", second, log))
    assert [len(clock.epoch_s) for clock in clocks] == [first, second]


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_an_error_of_one_ends_the_other_and_is_raised(first: bool) -> None:
    log: list[str] = []
    trainings = [failing("bad", log), training("good", 9, log)]
    with pytest.raises(ValueError, match="bad failed"):
        train_in_turns(*(trainings if first else reversed(trainings)))
    assert log.count("good saves") <= 2
    assert "first training" not in {thread.name for thread in threading.enumerate()}


def test_the_calling_thread_waits_for_nobody_afterwards() -> None:
    with pytest.raises(ValueError, match="bad failed"):
        train_in_turns(training("good", 9, []), failing("bad", []))
    assert len(training("alone", 2, [])().epoch_s) == 2


def test_an_error_of_the_other_is_an_error_of_its_own_kind() -> None:
    seen: list[Exception] = []

    def good() -> None:
        try:
            training("good", 9, [])()
        except OtherFailedError as error:
            seen.append(error)
            raise

    with pytest.raises(ValueError, match="bad failed"):
        train_in_turns(good, failing("bad", []))
    assert len(seen) == 1


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_one_training_does_not_inherit_that_the_other_flushes_denormals(first: bool) -> None:
    import torch

    was_flushed = is_flushed()

    def flush() -> bool:
        torch.set_flush_denormal(True)
        EpochClock().begin()
        return is_flushed()

    trainings = [flush, is_flushed]
    try:
        flushed = train_in_turns(*(trainings if first else trainings[::-1]))
    finally:
        torch.set_flush_denormal(was_flushed)
    assert flushed == ((True, was_flushed) if first else (was_flushed, True))


def is_flushed() -> bool:
    import torch

    return bool((torch.full((1,), 1e-39) * 1.0 == 0).item())


def test_parallel_regions_work_after_their_threads_were_ended() -> None:
    import torch

    inputs = torch.ones(300_000)
    for _ in range(3):
        assert inputs.exp().log().sum().item() == pytest.approx(300_000)
        end_openmp_threads()


def test_each_epoch_is_divided_by_the_others_before_it() -> None:
    measurement = Measurement((9.0, 1.0, 3.0), beside_s=(7.0, 2.0, 2.0))
    assert measurement.ratios() == [0.5, 1.5]


def test_unequal_numbers_of_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Measurement((9.0, 1.0, 3.0), beside_s=(7.0, 2.0)).ratios()


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["bare", "fourbeat_again", "lightning"])
def test_a_rival_trains_in_turns_with_fourbeat(rival: str, samples_dir: Path) -> None:
    task = Task(rival, 64, num_samples=640, num_epochs=3, beside="fourbeat_recorded")
    measured = Launcher(samples_dir, NOWHERE).run(task)
    assert measured.failure == ""
    assert measured.num_steps == 30
    assert len(measured.ratios()) == 2

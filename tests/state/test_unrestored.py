"""What a resume restores of the user's own objects, and what it says that it does not."""

from __future__ import annotations

import random
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.torture.comparison import differences
from lightning.pytorch import Callback
from programs.stream import Passing
from support.interruptions import StopAt, train_interrupted
from support.project import compose, evaluate, train
from support.settings import SMALL
from torch import Tensor, nn
from torch.utils.data import BatchSampler, IterableDataset, RandomSampler

import fourbeat
from fourbeat.base.errors import Stopped
from fourbeat.state.file import read_state
from fourbeat.state.reachable import Reachable
from fourbeat.tasks import Supervised

WORDS = "resume will not restore "
COUNTED = count()


class Average:
    """Has a state, and is no module."""

    def __init__(self) -> None:
        self.value, self.num = torch.zeros(()), 0

    def update(self, loss: Tensor) -> None:
        self.num += 1
        self.value = self.value * 0.9 + loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "num": self.num}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.num = state["value"], state["num"]


class Keeping(Supervised):
    """The loss depends on an average that has a state, and on a bank of samples that grows."""

    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        super().__init__(net, loss)
        self.average = Average()
        self.averages = [Average()]
        self.register_buffer("bank", torch.zeros(0, 2))

    def losses(self, batch: Any) -> Any:
        loss = super().losses(batch)
        if not self.training:
            return loss
        self.average.update(loss)
        self.averages[0].update(loss)
        self.bank = torch.cat([self.bank, batch[0][:1]])
        return loss * (1 + self.average.value + self.averages[0].num % 3 + len(self.bank) % 2)


class Forgetting(Supervised):
    """Remembers what no state dict holds, in many ways; some of it is harmless."""

    seen = 0

    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        super().__init__(net, loss)
        self.history: list[float] = []
        self.register_buffer("recent", torch.zeros(2), persistent=False)
        self.rng = np.random.default_rng(0)
        self.first: Tensor | None = None
        self.hidden: Tensor | None = None
        self.latest: Tensor | None = None
        self.cached: dict[int, int] = {}
        self.best, self.shadow = 9.0, [p.detach() for p in net.parameters()]
        self.constant = {"a": [1, 2], "b": torch.ones(3)}

    def losses(self, batch: Any) -> Any:
        loss = super().losses(batch)
        if self.training:
            self.history.append(loss.item())
            before = 0.0 if self.hidden is None else self.hidden.detach()
            self.hidden = 0.5 * before + loss  # read by the next batch
            self.latest = loss * 2  # left behind
            self.recent += 1
            self.rng.random()
            self.first = batch[0] if self.first is None else self.first
            self.cached[len(self.cached)] = 1
            type(self).seen += 1
            next(COUNTED)
        else:
            self.best = min(self.best, loss.item())
        return loss

    @property
    def asked(self) -> int:
        raise AssertionError("a property was asked")


class Notes(Callback):
    def __init__(self) -> None:
        self.last = deque[int](maxlen=2)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.last.append(trainer.global_step)


class Saved(Notes):
    def state_dict(self) -> dict[str, Any]:
        return {"last": list(self.last)}


KEEPING = (*SMALL, "task._target_=state.test_unrestored.Keeping")


def warnings_in(printed: Any) -> list[str]:
    return [line for line in (printed.out + printed.err).splitlines() if WORDS in line]


def names_in(line: str) -> set[str]:
    return set(line.removeprefix(WORDS).partition(":")[0].split(", "))


def test_what_training_changes_and_no_state_holds_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "task._target_=state.test_unrestored.Forgetting",
        "+callbacks.notes._target_=state.test_unrestored.Notes",
        "+callbacks.saved._target_=state.test_unrestored.Saved",
        "loop.steps_per_execution=1",
    ]
    train(compose(*SMALL, *words, "trainer.max_epochs=2"), tmp_path / "run")
    steps, validation = warnings_in(capsys.readouterr())
    task = {f"task.{name}" for name in ("history", "recent", "rng", "seen", "hidden")}
    assert names_in(steps) == {*task, "callbacks.Notes.last", "state.test_unrestored.COUNTED"}
    assert names_in(validation) == {"task.best"}


class Beginning(Supervised):
    """A curriculum, of which the first epoch shows nothing."""

    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        super().__init__(net, loss)
        self.hardness = 1

    def on_train_epoch_start(self) -> None:
        if self.current_epoch >= 1:
            self.hardness *= 2


def test_what_first_changes_in_a_later_epoch_is_named_before_a_state_without_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stop_at: StopAt
) -> None:
    words = [*SMALL, "task._target_=state.test_unrestored.Beginning", "loop.steps_per_execution=1"]
    stop_at(15)  # within the second epoch
    with pytest.raises(Stopped):
        train(compose(*words, "trainer.max_epochs=2"), tmp_path / "run")
    assert read_state(tmp_path / "run" / "checkpoints" / "last.ckpt")["epoch"] == 1
    (line,) = warnings_in(capsys.readouterr())
    assert names_in(line) == {"task.hardness"}


class LeavingOut(Supervised):
    """Trains what its states leave out."""

    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        super().__init__(net, loss)
        self.strict_loading = False

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {n: w for n, w in super().state_dict(*args, **kwargs).items() if "bias" not in n}


def test_weights_that_are_trained_and_left_out_of_the_states_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = "task._target_=state.test_unrestored.LeavingOut"
    run = train(compose(*SMALL, task, "trainer.max_epochs=1"), tmp_path / "run")
    weights = read_state(run.checkpoint("last"))["state_dict"]
    (line,) = warnings_in(capsys.readouterr())
    assert names_in(line) == {f"task.{name.replace('weight', 'bias')}" for name in weights}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("execution", [1, 64])
def test_a_run_that_forgets_nothing_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], execution: int
) -> None:
    train(compose(*KEEPING, f"loop.steps_per_execution={execution}"), tmp_path / "run")
    assert warnings_in(capsys.readouterr()) == []


@pytest.mark.slow
def test_what_has_a_state_is_restored_and_what_grows_too(tmp_path: Path, stop_at: StopAt) -> None:
    words = [*KEEPING, "loop.steps_per_execution=1"]
    whole = train(compose(*words), tmp_path / "whole")
    stopped = train_interrupted(words, [17], stop_at, tmp_path / "stopped")
    assert not list(differences(whole.dir, stopped.dir))
    (process,) = read_state(whole.checkpoint("last"))["fourbeat"]["processes"]
    assert process["task.average"]["num"] == process["task.averages.0"]["num"] == 36
    assert evaluate(whole.dir)["test/loss"] == whole.metrics["test/loss"]


def test_a_part_of_the_graph_and_a_view_of_the_weights_are_no_state() -> None:
    net = nn.Linear(2, 2)
    task = Forgetting(net, nn.MSELoss())
    before = changing(task)
    with torch.no_grad():
        net.weight.add_(1)
    task.latest = net(torch.ones(1, 2))
    task.shadow_of = task.latest
    after = changing(task)
    assert {name for name in before if before[name] != after[name]} == set()


def changing(task: nn.Module) -> dict[str, Any]:
    found = Reachable(task)
    found.add_module("task", task)
    return dict(found.values)


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1.0], lambda value: value.append(2.0)),
        ({"a": [1]}, lambda value: value["a"].append(1)),
        ({1, 2}, lambda value: value.add(3)),
        (deque([1, 2], maxlen=2), lambda value: value.append(2)),
        (list(range(10**5)), lambda value: value.append(1)),
        (torch.zeros(10**6), lambda value: value[: 10**5].add_(1)),
        (np.zeros((10**3, 10**3)), lambda value: value[:, 0].fill(1)),
        (np.array(1.0), lambda value: value.fill(2)),
        (torch.zeros(3, dtype=torch.bfloat16), lambda value: value.add_(1)),
        (torch.Generator(), lambda value: torch.rand(1, generator=value)),
        (random.Random(0), lambda value: value.random()),
        ([nn.Linear(1, 1)], lambda value: nn.init.ones_(value[0].bias)),
        ([Passing(1, 2)], lambda value: setattr(value[0], "first", 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_change_shows_whatever_holds_it(value: Any, change: Any) -> None:
    task = Supervised(nn.Linear(1, 1), nn.MSELoss())
    task.net.held = value
    task.net.__class__ = Own
    before = changing(task)
    change(value)
    assert changing(task)["task.net.held"] != before["task.net.held"]


class Own(nn.Linear):
    held: Any


def test_what_holds_itself_and_what_cannot_be_compared_are_passed_over() -> None:
    task = Supervised(Own(1, 1), nn.MSELoss())
    task.net.held = [Refusing()]
    task.net.held.append(task.net.held)
    changing(task)


class Refusing(int):
    def __hash__(self) -> int:
        raise TypeError("no hash")


class Counted(torch.utils.data.Dataset[Any]):
    """Each sample depends on how many were fetched before, by whom ever."""

    def __init__(self, samples: Any, states: bool) -> None:
        self.samples, self.num, self.kept = samples, 0, Average() if states else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        inputs, target = self.samples[index]
        if self.kept is not None:
            self.kept.num += 1
        else:
            self.num += 1
        return inputs, target


class Counting(fourbeat.Data):
    """Data whose samples, collation or sampler remember something."""

    def __init__(self, *, what: str, **common: Any) -> None:
        super().__init__(**common)
        self.what, self.num_collated = what, 0
        self.chance = torch.Generator().manual_seed(1)

    def dataset(self, split: Any) -> Any:
        points = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
        samples = list(zip(points, (points.sum(1) > 0).long(), strict=True))
        if self.what == "stream" and split == "train":
            return OwnIterator(samples)
        remembers = self.what in ("samples", "state")
        return Counted(samples, self.what == "state") if remembers else samples

    def collate(self, samples: list[Any]) -> Any:
        if self.what == "collate":
            self.num_collated += 1
        return super().collate(samples)

    def batch_sampler(self, split: Any) -> Any:
        if split != "train" or self.what not in ("sampler", "chance"):
            return None
        own = RandomSampler(range(40), generator=self.chance)
        return BatchSampler(Passes(own) if self.what == "sampler" else own, 8, drop_last=False)


class OwnIterator(IterableDataset[Any]):
    def __init__(self, samples: Any) -> None:
        self.samples, self.position = samples, 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        self.position += 1
        return self.samples[self.position % 40]


class Passes:
    """Leaves out what it has begun with in the passes before."""

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.num = sampler, 0

    def __iter__(self) -> Any:
        self.num += 1
        return iter([*self.sampler][: 40 - self.num % 2])

    def __len__(self) -> int:
        return 40


REMEMBERING = (
    *("~data", "task=supervised", "loss=cross_entropy", "metrics=none", "trainer=cpu"),
    *("model=circles", "trainer.max_epochs=1", "callbacks.progress=none", "logger=none"),
    *("+data._target_=state.test_unrestored.Counting", "+data.batch_size=8"),
    *("model.in_features=2", "model.out_features=2"),
)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("what", "num_workers", "named"),
    [
        ("samples", 2, ["data.train.num"]),
        pytest.param("state", 2, ["data.train.kept"], marks=pytest.mark.slow),
        pytest.param("collate", 2, ["data.num_collated"], marks=pytest.mark.slow),
        ("sampler", 0, ["the order of Passes"]),
        # Its generator is seeded by the epoch.
        pytest.param("chance", 0, [], marks=pytest.mark.slow),
        ("stream", 0, ["OwnIterator"]),
    ],
)
def test_what_samples_remember_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
    num_workers: int,
    named: list[str],
) -> None:
    words = [f"+data.what={what}", f"+data.num_workers={num_workers}", "+data.seed=1"]
    if what == "stream":
        words += ["+data.steps_per_epoch=5"]
    train(compose(*REMEMBERING, *words), tmp_path / "run")
    found = {name for line in warnings_in(capsys.readouterr()) for name in names_in(line)}
    assert found == set(named)


@pytest.mark.slow
def test_a_sampler_with_a_generator_of_its_own_is_resumed_exactly(
    tmp_path: Path, stop_at: StopAt
) -> None:
    save = ("callbacks.model_checkpoint.max_time_share=1", "trainer.max_epochs=3")
    words = [*REMEMBERING, "+data.what=chance", *save]
    whole = train(compose(*words), tmp_path / "whole")
    stopped = train_interrupted(words, [3], stop_at, tmp_path / "stopped")
    assert not list(differences(whole.dir, stopped.dir))

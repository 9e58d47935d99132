"""What of the user's a resume restores beside Lightning's checkpoint, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fourbeat.base.console import log
from fourbeat.base.registry import Stateful, StateRegistry
from fourbeat.data.split_loaders import SplitLoaders
from fourbeat.data.unrepeatable import changed_in_workers, describe_order, seeded_generators
from fourbeat.lightning.trainer import callbacks_of, datamodule_of
from fourbeat.state.reachable import Reachable, is_own, restores_itself

MOST_NAMED = 8
MOST_LOOKS = 2  # at steps: what is computed at each step has changed at both


class NotLooking:
    """Looks for nothing: before a training begins, or where nothing is saved."""

    def after_batch(self) -> None:
        """Do nothing."""

    def stop_reading(self) -> None:
        """Do nothing."""

    def after_epoch(self) -> None:
        """Do nothing."""

    def before_write(self) -> None:
        """Do nothing."""


class UnrestoredState(NotLooking):
    """Finds what a step or a validation changes and no state holds.

    Looks in the first epoch, and again before each state that is written: a curriculum may begin
    later.

    Args:
        trainer: About to train, or to continue.
        module: What it trains.
    """

    def __init__(self, trainer: Trainer, module: LightningModule) -> None:
        self._trainer, self._module = trainer, module
        self._before = reachable(trainer, module).values
        self._changed = left_out(module)
        self._said: set[str] = set()
        self._changed_in_workers: set[str] = set()
        self._num_looks, self._is_first_epoch = 0, True
        self._carried: ReadTensors | None = None
        self._reading = ExitStack()
        self._is_said = False
        self._warn_of_order()

    def after_batch(self) -> None:
        """Compare, after the first two; say what has changed."""
        self.stop_reading()
        if self._num_looks < MOST_LOOKS:
            self._num_looks += 1
            computed = self._compare().computed
            if self._num_looks == MOST_LOOKS:
                self._warn()
            elif computed:
                self._carried = self._reading.enter_context(ReadTensors(computed))

    def stop_reading(self) -> None:
        """Note no longer what the second batch reads of what the first one has computed."""
        self._reading.close()
        if self._carried is not None:
            self._changed |= self._carried.read
            self._carried = None

    def after_epoch(self) -> None:
        """Compare the first epoch: it has been validated, and may have been of one batch."""
        self.stop_reading()
        if self._is_first_epoch:
            self._compare()
            self._warn()
            self._is_first_epoch, self._num_looks = False, MOST_LOOKS

    def before_write(self) -> None:
        """Compare again, and say what the state that is about to be written will lack."""
        if self._carried is None:  # else what is compared would be noted as read
            self._compare()
            self._warn_of_changed()

    def _compare(self) -> Reachable:
        found = reachable(self._trainer, self._module)
        self._changed |= changed_names(self._before, found.values)
        self._before |= found.values
        return found

    def _warn(self) -> None:
        self._warn_of_order()
        self._warn_of_workers()
        self._warn_of_changed()

    def _warn_of_changed(self) -> None:
        names, self._changed = sorted(self._changed - self._said), set()
        self._said.update(names)
        if names:
            log.warning(
                "resume will not restore %s: training changes them, and no state dict holds "
                "them. Give the class that has them state_dict() and load_state_dict(), or a "
                "module register_buffer(); what need not be restored, call a cache.",
                _shown(names),
            )

    def _warn_of_order(self) -> None:
        line = describe_order(self._trainer.train_dataloader)
        if line and not self._is_said:
            self._is_said = True
            log.warning("%s.", line)

    def _warn_of_workers(self) -> None:
        loader = self._trainer.train_dataloader
        names = sorted(changed_in_workers(loader) - self._changed_in_workers)
        self._changed_in_workers.update(names)
        if names:
            log.warning(
                "resume will not restore %s: each worker process changes a copy of its own, which "
                "nobody can read. Make samples of their index, and of what is drawn, alone; or use "
                "data.num_workers=0, and give the class that has them state_dict() and "
                "load_state_dict().",
                _shown(names),
            )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def fetched_from(samples: Any, collate: Any) -> Mapping[str, Hashable]:
    """Return fingerprints of what a worker process fetches from, and collates with.

    Args:
        samples: A data set, as the worker process has it.
        collate: Its collation; that of a data module of ours is a method.
    """
    found, owner = Reachable(nn.Module()), getattr(collate, "__self__", None)
    if isinstance(owner, SplitLoaders):
        found.add("data", owner, owner.__getstate__())
    found.add_value("data.train", samples)
    found.add_states()
    return found.values


def left_out(module: LightningModule) -> set[str]:
    """Return the trained weights that a module with ``strict_loading = False`` leaves out."""
    if module.strict_loading:
        return set()
    trained = {name for name, weight in module.named_parameters() if weight.requires_grad}
    return {f"task.{name}" for name in trained - module.state_dict().keys()}


def changed_names(before: Mapping[str, Hashable], now: Mapping[str, Hashable]) -> set[str]:
    """Return the names of what was there before and is another now."""
    return {name for name in now if name in before and now[name] != before[name]}


def register_stateful(registry: StateRegistry, trainer: Trainer, module: LightningModule) -> None:
    """Register what task, data and callbacks have that has a state, by where it is: ``task.ema``.

    Lightning saves the state of a data module, or a callback, of the first process alone: with
    several of them, each one's is registered.

    Args:
        registry: Captures them.
        trainer: Whose data module and callbacks they are.
        module: What it trains.
    """
    found = reachable(trainer, module).stateful
    if trainer.world_size > 1:
        owners: list[Any] = [datamodule_of(trainer), *callbacks_of(trainer)]
        names = ("data", *(f"callbacks.{c.state_key}" for c in callbacks_of(trainer)))
        for name, owner in zip(names, owners, strict=True):
            if is_own(type(owner)) and restores_itself(owner):
                found[name] = owner
    stateful: Stateful
    for name, stateful in found.items():
        registry.register(name, stateful)


def reachable(trainer: Trainer, module: LightningModule) -> Reachable:
    """Return what is reachable from a training's task, data and callbacks."""
    found, data = Reachable(module), datamodule_of(trainer)
    found.add_module("task", module)
    if isinstance(data, SplitLoaders):
        found.leave_out(seeded_generators(trainer.train_dataloader))
        if not restores_itself(data):
            found.add("data", data, data.__getstate__())
        for split, dataset in data.loaded.items():
            found.add_value(f"data.{split}", dataset)
    for callback in callbacks_of(trainer):
        if is_own(type(callback)) and not restores_itself(callback):
            found.add(f"callbacks.{type(callback).__name__}", callback)
    return found


class ReadTensors(TorchFunctionMode):
    """Notes which of some tensors torch's functions read while it is entered; changes nothing.

    Most tensors that a step leaves behind are rubbish, e.g. the latest outputs: only one that is
    read before it is replaced is a part of the training's state.

    Args:
        tensors: By where they are, e.g. ``task.hidden``.

    Attributes:
        read: Where those are that were read.
    """

    def __init__(self, tensors: Mapping[str, list[Tensor]]) -> None:
        super().__init__()
        self._owners = {id(each): name for name, own in tensors.items() for each in own}
        self._alive = tensors  # else another may get the identity of one of them
        self.read: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch's."""
        arguments = kwargs or {}
        for value in _flat((*args, *arguments.values())):
            if id(value) in self._owners:
                self.read.add(self._owners[id(value)])
        return func(*args, **arguments)


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        else:
            yield value

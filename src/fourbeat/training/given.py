"""The arguments of ``fit()``, and what is wrong with them by themselves."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.loggers import Logger
from torch import nn

from fourbeat.base.console import log
from fourbeat.base.errors import ConfigError, Fault
from fourbeat.data import SPLITS, is_batched
from fourbeat.tasks import Task

LR, WEIGHT_DECAY, BATCH_SIZE = 3e-4, 0.01, 32
OF_A_MODULE = ("loss", "metrics", "optimizer", "scheduler", "lr", "weight_decay")
"""What a LightningModule as its author wrote it has itself."""


class Given(SimpleNamespace):
    """The arguments of :func:`fourbeat.fit`, as they were given, each by its name."""

    @property
    def numbers(self) -> dict[str, float]:
        """AdamW's ``lr`` and ``weight_decay``."""
        return {
            "lr": LR if self.lr is None else self.lr,
            "weight_decay": WEIGHT_DECAY if self.weight_decay is None else self.weight_decay,
        }

    @property
    def size(self) -> int:
        """Samples per batch of what is no loader yet."""
        size: int | None = self.batch_size
        return BATCH_SIZE if size is None else size

    @property
    def kind(self) -> Any:
        """The class of what is trained."""
        return self.model if isinstance(self.model, type) else type(self.model)

    @property
    def is_task(self) -> bool:
        """Whether it is a task, which computes its losses itself."""
        return issubclass(self.kind, Task)

    @property
    def is_module(self) -> bool:
        """Whether it is a LightningModule that Lightning's own loop plays."""
        return issubclass(self.kind, LightningModule) and not self.is_task

    def faults(self) -> list[Fault]:
        """Find what is wrong with single arguments, and with some beside others."""
        faults = [*self._model_faults(), *self._data_faults(), *self._unused_faults()]
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            why = "must be a whole number from 0 to 4294967295"
            faults.append(Fault("out-of-range", "seed", str(self.seed), why, "Try seed=42."))
        return [*faults, *_list_faults("callbacks", self.callbacks, Callback)] + (
            [] if self.logger in (None, False) else _list_faults("logger", self.logger, Logger)
        )

    def _model_faults(self) -> Iterator[Fault]:
        name = self.kind.__name__
        if not issubclass(self.kind, nn.Module):
            why = "must be a network, a fourbeat.Task or a LightningModule"
            hint = "Pass Net(...), or the class Net with init_args={...}."
            yield Fault("wrong-type", "model", name, why, hint)
        elif self.is_module and self.kind.training_step is LightningModule.training_step:
            why, hint = "has no training_step", "Write one, or pass a network and a loss."
            yield Fault("wrong-type", "model", name, why, hint)
        elif self.init_args is not None and not isinstance(self.model, type):
            why = f"are for a class, and model is a {name} that is built already"
            yield Fault("without-effect", "init_args", "", why, f"Pass the class {name}.")

    def _data_faults(self) -> Iterator[Fault]:
        names = [name for name in SPLITS if getattr(self, name) is not None]
        if self.data is None and self.train is None:
            why = "must be given: what is trained on"
            hint = "Pass e.g. train=(x, y), a DataLoader, or data='module:function'."
            yield Fault("missing", "train", "", why, hint)
        elif self.data is not None and names:
            why = f"returns all loaders, and {' and '.join(names)} are given besides"
            yield Fault("impossible-together", "data", self.data, why, "Pass one of the two.")
        elif self.data is not None and not isinstance(self.data, str):
            why = "must be 'module:function', the name of a function that returns (train, val)"
            hint = "Pass loaders as train and val."
            yield Fault("wrong-type", "data", type(self.data).__name__, why, hint)
        elif self.batch_size is not None and names and self._are_batched(names):
            why = f"has no effect: {' and '.join(names)} yield batches already"
            yield Fault("without-effect", "batch_size", str(self.batch_size), why)

    def _are_batched(self, names: Sequence[str]) -> bool:
        return all(is_batched(getattr(self, name)) for name in names)

    def _unused_faults(self) -> Iterator[Fault]:
        name, unused = self.kind.__name__, dict[str, str]()
        if self.is_module:
            why = f"a LightningModule, {name}, is trained as it is, and has its own"
            unused = dict.fromkeys(OF_A_MODULE, why)
        elif self.is_task:
            unused = {"loss": f"is for a network alone: {name} computes its losses itself"}
        if self.optimizer is not None:
            why = "is AdamW's, and optimizer is given: give it to that one"
            unused = {**dict.fromkeys(("lr", "weight_decay"), why), **unused}
        for argument, why in unused.items():
            if (value := getattr(self, argument)) is not None:
                shown = str(value) if isinstance(value, float) else type(value).__name__
                yield Fault("without-effect", argument, shown, why, "Leave it out.")


def _list_faults(name: str, given: Any, kind: type) -> list[Fault]:
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    if isinstance(given, Mapping) or all(isinstance(each, kind) for each in listed):
        return []
    why = f"must be a {kind.__name__} of Lightning's, a list of them, or leaves by name"
    return [Fault("wrong-type", name, type(given).__name__, why)]


def listed(given: Any) -> list[Any]:
    """Return callbacks or loggers, one or several, as a list; leaves are none."""
    if given in (None, False) or isinstance(given, Mapping):
        return []
    return list(given) if isinstance(given, Sequence) else [given]


@contextmanager
def naming_arguments(given: Given) -> Iterator[None]:
    """Name arguments in the place of keys of the config, in faults that are raised within."""
    renamed = renaming(given)
    homes = {"task": "model" if given.is_task or given.is_module else "loss"}
    homes |= dict.fromkeys(SPLITS, "data") if given.data is not None else {}
    try:
        yield
    except ConfigError as error:
        faults = [
            replace(
                fault,
                key=homes.get(fault.key, renamed(fault.key)),
                allowed=renamed(fault.allowed),
                hint=renamed(fault.hint),
            )
            for fault in error.faults
        ]
        raise ConfigError([*dict.fromkeys(faults)]) from None


@contextmanager
def renaming_lines(given: Given) -> Iterator[None]:
    """Name arguments in the place of keys of the config, in lines that are printed within."""
    renamed = renaming(given)

    def rename(record: logging.LogRecord) -> bool:
        record.msg, record.args = renamed(record.getMessage()), ()
        return True

    log.addFilter(rename)
    try:
        yield
    finally:
        log.removeFilter(rename)


def renaming(given: Given | None = None) -> Callable[[str], str]:
    """Return what puts arguments in the place of keys of the config, in any text.

    Args:
        given: Says whether a rate is one of ``optimizer``; None: the text is of no rates.
    """
    optim = "" if given is None or given.optimizer is None else "optimizer."
    keys = {
        r"trainer=cpu": 'device="cpu"',
        r"trainer=default for whatever": 'device="auto" for whatever',
        r"trainer\.(accelerator|devices)": "device",
        r"trainer\.max_epochs|max_epochs": "epochs",
        r"callbacks\.early_stopping\.monitor and callbacks\.model_checkpoint\.monitor": "monitor",
        r"callbacks\.model_checkpoint\.": "",
        r"(trainer|loop|callbacks\.early_stopping|callbacks)\.": "",
        r"optim\.": optim,
        r"optim(?![\w.])": "optimizer",
        r"metrics\.": "metrics: ",
        r"(model|task)\._target_": "model",
        r"(model|task)\.(?=\w)": "init_args: ",
        r"data\.(function|_target_)": "data",
        r"data\.(?=batch_size)": "",
    }

    def renamed(text: str) -> str:
        for key, name in keys.items():
            text = re.sub(rf"(?<![\w./-])(?:{key})", name, text)
        return text

    return renamed

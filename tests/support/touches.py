"""Finds touches of what the libraries keep private or do not document, in source text."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

LIBRARIES = ("torch", "lightning", "pytorch_lightning", "torchmetrics", "hydra", "omegaconf")

# Public by name, in no documentation.
UNDOCUMENTED_MODULES = (
    *("hydra.core.config_loader", "hydra.core.global_hydra", "hydra.core.object_type"),
    *("hydra.core.override_parser", "hydra.core.plugins", "hydra.core.utils", "hydra.types"),
    *("lightning.pytorch.loops", "lightning.pytorch.trainer.connectors"),
    *("lightning.pytorch.callbacks.progress.tqdm_progress", "lightning.pytorch.trainer.call"),
    *("torch.amp.grad_scaler", "torch.fx.experimental"),
)
UNDOCUMENTED_NAMES = frozenset(
    {
        # Lightning's Trainer, its loops and their progress.
        *("fit_loop", "epoch_loop", "val_loop", "validate_loop", "test_loop", "predict_loop"),
        *("epoch_progress", "batch_progress", "optim_progress", "optim_step_progress"),
        *("scheduler_progress", "increment_ready", "increment_started", "increment_processed"),
        *("increment_completed", "on_advance_start", "on_advance_end", "on_iteration_done"),
        *("reset_on_run", "reset_on_restart", "restarting"),
        *("lr_scheduler_configs", "precision_plugin", "received_sigterm", "dump_checkpoint"),
        *("manual_optimization", "metrics_keys"),
        # torch's optimizers, within a step under a GradScaler; its compiler's errors.
        *("found_inf", "grad_scale", "inner_exception"),
    }
)
# Classes whose private names are known, so that they are found in any disguise.
_KNOWN = {
    "torch.nn": ("Module", "Parameter"),
    "torch": ("Tensor",),
    "torch.optim": ("Optimizer",),
    "torch.optim.lr_scheduler": ("LRScheduler", "SequentialLR"),
    "torch.amp": ("GradScaler",),
    "torchmetrics": ("Metric", "MetricCollection"),
    "lightning.pytorch": ("Trainer", "LightningModule", "LightningDataModule", "Callback"),
    "lightning.pytorch.loops": ("_FitLoop", "_TrainingEpochLoop", "_EvaluationLoop"),
    "lightning.pytorch.loggers": ("TensorBoardLogger", "CSVLogger"),
    "lightning.pytorch.callbacks": ("ModelCheckpoint", "EarlyStopping"),
    "lightning.pytorch.core.optimizer": ("LightningOptimizer",),
    "hydra.core.utils": ("JobReturn",),
}
_MARKS = {"_wrapped_by_lr_sched", "_opt_called", "_step_supports_amp_scaling", "_schedulers"}
_OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
_BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter"}


class Touch(NamedTuple):
    """A place in a source text, and what is touched there."""

    line: int
    what: str


def find_touches(source: str) -> list[Touch]:
    """Find what a module touches of the libraries, late imports and names in strings included."""
    tree = ast.parse(source)
    own = _defined(tree)
    found = {touch for node in ast.walk(tree) for touch in _touches(node, own)}
    return sorted(found)


def inherited_touches(module: str) -> list[Touch]:
    """Find what the classes of a module touch of their library bases, by ``self`` or ``cls``."""
    found = set()
    for value in vars(importlib.import_module(module)).values():
        if inspect.isclass(value) and value.__module__ == module:
            theirs = set().union(*map(private_names, _library_bases(value)))
            found |= {t for t in _of_self(value) if t.what in theirs}
    return sorted(found)


@cache
def private_names(kind: type) -> frozenset[str]:
    """Return the private names that a class has, or sets on its instances."""
    try:
        text = inspect.getsource(kind)
    except (OSError, TypeError):
        text = ""
    names = {name for name in vars(kind) if is_private(name)}
    return frozenset(names | set(re.findall(r"self\.(_[a-z]\w*)\b", text)))


@cache
def known_names() -> frozenset[str]:
    """Return private names of the libraries' main classes."""
    found = set(_MARKS)
    for module, classes in _KNOWN.items():
        for name in classes:
            # A class that a release has renamed: the contract tests say so.
            kind = getattr(importlib.import_module(module), name, object)
            found |= {n for base in kind.__mro__[:-1] for n in private_names(base)}
    return frozenset(found)


def is_private(name: str) -> bool:
    """Return whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _library_bases(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] in LIBRARIES]


def _of_self(kind: type) -> Iterator[Touch]:
    lines, start = inspect.getsourcelines(kind)
    for node in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
        if isinstance(node, ast.Attribute) and _is_self(node.value) and is_private(node.attr):
            yield Touch(start + node.lineno - 1, node.attr)


def _defined(tree: ast.Module) -> set[str]:
    """The private names that a module's own functions, classes and instances have."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found |= {node.attr} if _is_self(node.value) else set()
        if isinstance(node, ast.ClassDef):
            targets = [t for n in node.body for t in _targets(n)]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.AnnAssign):
        return [node.target]
    return node.targets if isinstance(node, ast.Assign) else []


def _touches(node: ast.AST, own: set[str]) -> Iterator[Touch]:
    if isinstance(node, ast.Import):
        yield from (Touch(node.lineno, a.name) for a in node.names if _is_hidden(a.name))
    elif isinstance(node, ast.ImportFrom):
        paths = (f"{node.module or ''}.{alias.name}" for alias in node.names)
        yield from (Touch(node.lineno, path) for path in paths if _is_hidden(path))
    elif isinstance(node, ast.Attribute):
        if _is_touch(node, own):
            yield Touch(node.lineno, node.attr)
    elif isinstance(node, ast.Call):
        yield from _by_name(node)
    elif (
        # Names in tuples, keys of vars(), modules to be imported by their name.
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (node.value in known_names() or _is_hidden(node.value))
    ):
        yield Touch(node.lineno, node.value)


def _is_touch(node: ast.Attribute, own: set[str]) -> bool:
    name = node.attr
    if _is_self(node.value) or _is_super(node.value):
        # What a class inherits: inherited_touches. Of super(), it can only be inherited.
        return _is_super(node.value) and is_private(name)
    if name in UNDOCUMENTED_NAMES:
        return True
    if not is_private(name) or name in _OF_NAMED_TUPLES or _is_of_python(node.value):
        return False
    return name in known_names() or name not in own


def _by_name(call: ast.Call) -> Iterator[Touch]:
    function = call.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called in _BY_NAME:
        for argument in call.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                name = argument.value
                if is_private(name) or name in UNDOCUMENTED_NAMES | {"hooked"}:
                    yield Touch(call.lineno, name)


def _is_hidden(path: str) -> bool:
    first, _, rest = path.partition(".")
    if first not in LIBRARIES or not re.fullmatch(r"[\w.]+", path):
        return False
    is_listed = any(path == m or path.startswith(f"{m}.") for m in UNDOCUMENTED_MODULES)
    return is_listed or any(map(is_private, rest.split(".")))


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_super(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    )


def _is_of_python(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in sys.stdlib_module_names

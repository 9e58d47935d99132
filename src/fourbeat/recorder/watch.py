"""The recorder of somebody's own training loop in plain PyTorch."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.lightning.torch_amp import scale_on_device
from fourbeat.lightning.torch_optim import skipped_its_step
from fourbeat.lightning.torch_tensors import version_of
from fourbeat.recorder.recorder import Recorder
from fourbeat.recorder.store import read_records, write_block

CallHook: TypeAlias = Callable[..., AbstractContextManager[None]]
"""Takes a call's arguments; what it returns is entered before the call and exited after it."""


@contextmanager
def watch(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    folder: str | Path,
    scaler: GradScaler | None = None,
    first_step: int | None = None,
    layers_every_n_steps: int = 100,
    stop_on_nan: bool = False,
) -> Iterator[Recorder]:
    """Record each ``optimizer.step()`` of a loop that stays as it is.

    For example::

        with fourbeat.watch(model, optimizer, folder="runs/plain") as recorder:
            for epoch in range(3):
                recorder.epoch = epoch
                for inputs, targets in loader:
                    optimizer.zero_grad()
                    loss_fn(model(inputs), targets).backward()
                    optimizer.step()

    ``read_records(Path("runs/plain"))`` then has one row for each step. What it says, and does not:

    - ``loss`` is the sum of the scalar losses on which ``backward()`` was called without an
      argument since the step before, if they reached the optimizer's weights and ``zero_grad()``
      has not set their gradients to None since. It is NaN where there was none: neither
      ``torch.autograd.backward`` nor ``torch.autograd.grad`` is observed.
    - ``grad_norm`` is of the gradients that the optimizer gets, in all of the model's layers.
      Whether they were clipped is not known: ``grad_norm_clipped`` is NaN.
    - ``batch_idx`` is the index of the last ``backward()``, from 0 at the start of the context and
      through all epochs: a plain loop does not say where one begins. It is -1 before the first.
      ``epoch`` is 0 unless you set ``recorder.epoch``.
    - A step with a closure, as LBFGS makes it, is one step; its loss and gradients are those of the
      closure's first call, before the weights moved.
    - ``lr`` has the groups that the optimizer has now, not those that are added later.

    In a folder that has records, steps continue after the last one.
    Of several processes that train together, let one watch.

    Args:
        model: Whose layers are measured.
        optimizer: Whose steps are recorded.
        folder: Where the event file goes.
        scaler: The loss scaler, if there is one: the losses are divided by its scale, and the steps
            that ``scaler.step(optimizer)`` skips are recorded as not applied. With an optimizer
            that unscales by itself (``fused=True``) each step then waits for the device.
        first_step: Index of the first step to come; None: the one after the folder's last. After
            you went back to a checkpoint, the steps made so far: what is recorded of the same steps
            then replaces what was.
        layers_every_n_steps: Optimizer steps between two measurements of each layer's weights,
            updates and outputs; the outputs of a compiled model are not measured.
        stop_on_nan: Raise before a gradient with a NaN or Inf corrupts the weights, which means to
            wait for the device at each step. Not with a scaler, which skips such steps.

    Yields:
        The recorder.

    Raises:
        ConfigError: The optimizer has none of the model's weights, or an argument cannot be.
        RunError: The folder's records could not be read.
        NonFiniteError: A gradient has a NaN or Inf, and ``stop_on_nan`` is set.
    """
    folder = Path(folder).resolve()
    raise_faults(_faults(model, optimizer, folder, layers_every_n_steps))
    scaler = scaler if scaler is not None and scaler.is_enabled() else None
    with ExitStack() as stack:
        _open_folders.add(folder)
        stack.callback(_open_folders.discard, folder)
        step = _next_step(folder) if first_step is None else first_step
        writer = EventFileWriter(str(folder))
        stack.callback(writer.close)
        recorder = Recorder(
            model,
            functools.partial(write_block, writer),
            num_groups=len(optimizer.param_groups),
            first_step=step,
            layers_every_n_steps=layers_every_n_steps,
            clips=False,
            stop_on_nan=stop_on_nan,
            scale=scaler.get_scale if scaler else None,
        )
        stack.callback(recorder.close)
        stack.enter_context(_PlainLoop(recorder, optimizer, scaler).observed())
        yield recorder


class _PlainLoop:
    """Notifies a recorder of the beats of a loop, observed from outside."""

    def __init__(self, recorder: Recorder, optimizer: Optimizer, scaler: GradScaler | None) -> None:
        self._recorder, self._optimizer, self._scaler = recorder, optimizer, scaler
        self._num_groups = len(optimizer.param_groups)
        self._num_backwards = 0
        self._losses: list[Tensor] = []
        self._is_stepping = False
        # Of the step that is being made: with a closure, the first call counts.
        self._is_measured = False

    @contextmanager
    def observed(self) -> Iterator[None]:
        with (
            _BACKWARD.hooked(self._differentiate),
            _SCALER_STEP.hooked(self._step_scaled),
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(self._after_step),
        ):
            yield

    @contextmanager
    def _differentiate(
        self, loss: Tensor, gradient: Any = None, *_: Any, **__: Any
    ) -> Iterator[None]:
        before = [(grad, _version(grad)) for grad in self._gradients()]
        if all(grad is None for grad, _ in before):
            self._losses.clear()  # their gradients have been zeroed
        losses = [self._unscaled(loss)] if loss.numel() == 1 and gradient is None else []
        yield
        pairs = zip(self._gradients(), before, strict=False)
        if any(now is not old or _version(now) != version for now, (old, version) in pairs):
            self._num_backwards += 1
            self._losses += losses

    @contextmanager
    def _step_scaled(
        self, scaler: GradScaler, optimizer: Optimizer, *_: Any, **__: Any
    ) -> Iterator[None]:
        step = self._recorder.step
        yield
        is_ours = scaler is self._scaler and optimizer is self._optimizer
        if is_ours and self._recorder.step == step:
            # Skipped. The gradients are there still, unscaled.
            self._measure()
            self._record(applied=False)

    def _before_step(
        self, optimizer: Optimizer, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        self._is_stepping, self._is_measured = True, False
        if callable(options.get("closure")):
            return arguments, {**options, "closure": self._measured(options["closure"])}
        if len(arguments) > 1 and callable(arguments[1]):
            return (arguments[0], self._measured(arguments[1]), *arguments[2:]), options
        self._measure()
        return None

    def _after_step(self, optimizer: Optimizer, arguments: Any, options: Any) -> None:
        # An optimizer whose step() calls that of its base class announces each step twice.
        if self._is_stepping:
            if not self._is_measured:
                self._measure()  # it had a closure, and never called it
            self._record(applied=not skipped_its_step(optimizer))

    def _measured(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(closure)
        def call() -> Any:
            result = closure()
            if not self._is_measured:
                self._measure()
            return result

        return call

    def _measure(self) -> None:
        self._recorder.replace_losses(self._losses)
        self._recorder.on_unscale(self._optimizer)
        self._recorder.on_clip(self._optimizer)
        self._is_measured = True

    def _record(self, *, applied: bool) -> None:
        self._is_stepping = False
        self._losses.clear()
        self._recorder.on_step(self._rates(), self._num_backwards - 1, applied)

    def _rates(self) -> Sequence[Mapping[str, float]]:
        # As numbers: a tensor would have changed by the time it is written.
        groups = self._optimizer.param_groups[: self._num_groups]
        return [{"lr": float(group.get("lr", math.nan))} for group in groups]

    def _gradients(self) -> Iterator[Tensor | None]:
        for group in self._optimizer.param_groups:
            yield from (parameter.grad for parameter in group["params"])

    def _unscaled(self, loss: Tensor) -> Tensor:
        # A copy: the loop may sum up in place afterwards.
        copy = loss.detach().to(torch.float32, copy=True).reshape(())
        scale = None if self._scaler is None else scale_on_device(self._scaler)
        return copy if scale is None else copy / scale


class _HookedMethod:
    """Lets others hook the calls of a class's method; without them it is the class's own again.

    Where somebody else has wrapped it meanwhile, their wrapper stays, around one that only calls.
    """

    def __init__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name
        self._hooks: list[CallHook] = []

    @contextmanager
    def hooked(self, hook: CallHook) -> Iterator[None]:
        if not self._hooks:
            self._hooks = []
            self._own = getattr(self._owner, self._name)
            self._wrapper = _wrapped(self._own, self._hooks)
            setattr(self._owner, self._name, self._wrapper)
        self._hooks.append(hook)
        try:
            yield
        finally:
            self._hooks.remove(hook)
            if not self._hooks and getattr(self._owner, self._name) is self._wrapper:
                setattr(self._owner, self._name, self._own)


def _wrapped(method: Callable[..., Any], hooks: Sequence[CallHook]) -> Callable[..., Any]:
    inside = threading.local()

    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        # Of a tensor of a subclass, torch calls it again.
        if not hooks or getattr(inside, "it", False):
            return method(*arguments, **options)
        inside.it = True
        try:
            with ExitStack() as stack:
                for hook in tuple(hooks):
                    stack.enter_context(hook(*arguments, **options))
                return method(*arguments, **options)
        finally:
            inside.it = False

    return call


def _version(tensor: Tensor | None) -> int:
    return -1 if tensor is None else version_of(tensor)


_BACKWARD = _HookedMethod(Tensor, "backward")
_SCALER_STEP = _HookedMethod(GradScaler, "step")
_open_folders: set[Path] = set()


def _faults(
    model: nn.Module, optimizer: Optimizer, folder: Path, layers_every_n_steps: int
) -> Iterator[Fault]:
    trained = {p for p in model.parameters() if p.requires_grad}
    if not any(p in trained for group in optimizer.param_groups for p in group["params"]):
        hint = f"Try {type(optimizer).__name__}(model.parameters()), once the model is complete."
        why = "has none of the weights of the model that are trained"
        yield Fault("wrong-weights", "optimizer", "", why, hint)
    if layers_every_n_steps < 1:
        value = str(layers_every_n_steps)
        yield Fault("out-of-range", "layers_every_n_steps", value, "must be 1 or more", "Try 100.")
    if folder in _open_folders:
        allowed = "another watch is writing to it, and their steps would mix"
        yield Fault("in-use", "folder", str(folder), allowed, "Give each a folder of its own.")


def _next_step(folder: Path) -> int:
    steps = read_records(folder).steps.steps
    return int(steps[-1]) + 1 if len(steps) else 0

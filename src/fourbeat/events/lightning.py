"""The beats of any LightningModule, observed from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.events.hooks import Hooks, OwnHook, find_network
from fourbeat.events.observer import Beats, Observer
from fourbeat.lightning.torch_amp import scale_on_device
from fourbeat.lightning.torch_optim import skipped_its_step, unscales_by_itself
from fourbeat.lightning.trainer import StepCounter, callbacks_of, loss_scaler


@runtime_checkable
class NotifiesObservers(Protocol):
    """A loop that plays the beats itself and notifies observers of them."""

    def observe(self, observers: Sequence[Observer]) -> None:
        """Notify observers from now on."""

    def forget(self, observers: Sequence[Observer]) -> None:
        """Notify them no longer."""


class ObserverCallback(Callback):
    """Lets observers watch a training; callbacks before it in the list are notified first.

    Args:
        observers: Who is notified of the beats.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self.observers = observers
        self._undo = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to observe the training, before the module's own ``on_train_start``."""
        loop = getattr(pl_module, "loop", None)
        if isinstance(loop, NotifiesObservers):
            loop.observe(self.observers)
            self._undo.callback(loop.forget, self.observers)
            return
        beats = LightningBeats(self.observers)
        # Lightning, which is going through its list of callbacks, may call it too.
        beats.on_train_start(trainer, pl_module)
        callbacks_of(trainer).append(beats)
        self._undo.callback(callbacks_of(trainer).remove, beats)
        self._undo.callback(beats.teardown, trainer, pl_module, "fit")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stop observing; Lightning calls no ``teardown`` then."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop observing: remove all hooks from the module and the Trainer."""
        self._undo.close()


class LightningBeats(Callback):
    """Notifies observers of the beats that Lightning plays, in automatic and manual optimization.

    Clipped gradients are measured right after the step, which leaves them as they were: Lightning
    clips within ``optimizer.step()``, where no hook is called. Of a closure that the optimizer
    calls several times, as LBFGS does, the first call counts. In manual optimization, the losses of
    ``manual_backward`` are observed, and no others. In automatic optimization a step is what
    Lightning counts as one: a call of the module's ``optimizer_step``, which may make none or
    several. None is a step that was not applied; of several, the first is observed.

    Args:
        observers: Who is notified.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.beats = self._beats = Beats(observers)
        self._hooks = Hooks()
        self._counter: StepCounter | None = None
        self._num_counted = 0
        self._batch_idx = 0
        self._turns: dict[Optimizer, int] = {}  # where there are several
        # Whose step is under way: its gradients are there, its weights have not been changed.
        self._unstepped: Optimizer | None = None
        self._is_stepping = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hook the optimizers and the network; a second call does nothing."""
        if self._hooks:
            return
        if pl_module.automatic_optimization:
            self._counter = StepCounter(trainer, automatic=True)
            self._num_counted = self._counter.completed
        network = find_network(pl_module)
        is_one = len(trainer.optimizers) == 1
        self._turns = {} if is_one else {o: i for i, o in enumerate(trainer.optimizers)}
        for optimizer in trainer.optimizers:
            self._hooks.add(optimizer.register_step_pre_hook(self._before_step))
            self._hooks.add(optimizer.register_step_post_hook(self._after_step))
        self._hooks.add(network.register_forward_hook(OwnHook(self._after_forward)))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the hooks."""
        self._hooks.close()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember which micro-batch it is."""
        self._batch_idx = batch_idx

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Notify of the loss, without the scale that a scaler has multiplied it by."""
        if (scaler := loss_scaler(trainer)) is not None:
            self._notify_of_skipped_step()
            scale = scale_on_device(scaler)
            assert scale is not None  # the loss has been multiplied by it
            loss = loss.detach() / scale
        if self._unstepped is None:
            loop = getattr(pl_module, "loop", None)
            self.beats.losses(getattr(loop, "latest_losses", {}))
            # A copy: others add up losses in place.
            self.beats.loss(loss.detach().clone())

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notify of the micro-batch's gradients."""
        if self._unstepped is None:
            self.beats.backward()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Notify of all gradients of the step; a scaler has unscaled them by now."""
        if loss_scaler(trainer) is not None and unscales_by_itself(optimizer):
            return  # A fused one will, and has their scale when it begins.
        if self._unstepped is not optimizer:
            self._notify_of_skipped_step()
            self._begin_step(optimizer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Notify of a step that the scaler has skipped, or that a hook of the module has."""
        self._notify_of_skipped_step()
        if self._counter is not None:
            is_counted = self._counter.completed > self._num_counted
            if is_counted and self.beats is self._beats:
                self._begin_step(trainer.optimizers[0])
                self._notify_of_skipped_step()
            self._num_counted = self._counter.completed
        self.beats = self._beats

    def _notify_of_skipped_step(self) -> None:
        if self._unstepped is not None:
            self._notify_of_step(self._unstepped, applied=False)

    def _after_forward(self, network: nn.Module, inputs: Any, outputs: Any) -> None:
        if network.training and self._unstepped is None:
            self.beats.forward(outputs)

    def _before_step(
        self, optimizer: Optimizer, arguments: Any, options: Mapping[str, Any]
    ) -> None:
        self._is_stepping = True
        # Lightning passes a closure, unless there is a scaler, and calls its own hook within it.
        if self._unstepped is None and len(arguments) == 1 and not options.get("closure"):
            self._begin_step(optimizer)

    def _begin_step(self, optimizer: Optimizer) -> None:
        self._unstepped = optimizer
        if optimizer in self._turns:
            self.beats.turn(self._turns[optimizer])
        self.beats.unscale(optimizer)

    def _after_step(self, optimizer: Optimizer, arguments: Any, options: Any) -> None:
        # An optimizer whose step() calls that of its base class announces each step twice.
        if self._is_stepping:
            self._notify_of_step(optimizer, applied=not skipped_its_step(optimizer))

    def _notify_of_step(self, optimizer: Optimizer, *, applied: bool) -> None:
        self._unstepped, self._is_stepping = None, False
        self.beats.clip(optimizer)
        self.beats.step(optimizer.param_groups, self._batch_idx, applied)
        if self._counter is not None:
            self.beats = Beats()  # until the batch is over

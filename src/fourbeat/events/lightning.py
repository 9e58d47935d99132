"""L3: the beats of any LightningModule, heard from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from fourbeat.events.observer import Beats, Observer


@runtime_checkable
class TellsOfBeats(Protocol):
    """A module that plays the beats itself and tells of them."""

    observers: list[Observer]
    after: Beats


class Observation:
    """Observers at work in a Trainer's training, whichever module it trains.

    Args:
        trainer: About to train: before the module's own ``on_train_start``.
        module: What it trains.
        observers: Who is told of the beats.
    """

    def __init__(
        self, trainer: Trainer, module: LightningModule, observers: Sequence[Observer]
    ) -> None:
        self._trainer, self._module, self._observers = trainer, module, observers
        self._beats: LightningBeats | None = None
        if isinstance(module, TellsOfBeats):
            module.observers += observers
        else:
            self._beats = LightningBeats(observers)
            # Lightning, which is going through its list of callbacks, may call it too.
            self._beats.on_train_start(trainer, module)
            trainer.callbacks.append(self._beats)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Leave the module and the Trainer as they came."""
        if self._beats is not None:
            self._beats.teardown(self._trainer, self._module, "fit")
            self._trainer.callbacks.remove(self._beats)  # type: ignore[attr-defined]
        elif isinstance(self._module, TellsOfBeats):
            gone = self._observers
            self._module.observers = [o for o in self._module.observers if o not in gone]


class Watching(Callback):
    """Lets observers watch a training; those of callbacks before it in the list are told first.

    Args:
        observers: Who is told of the beats.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers
        self._observation: Observation | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._observation = Observation(trainer, pl_module, self.observers)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End: Lightning calls no ``teardown`` then."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """End."""
        if self._observation is not None:
            self._observation.end()
            self._observation = None


class LightningBeats(Callback):
    """Tells observers of the beats that Lightning plays, in automatic and manual optimization.

    Clipped gradients are looked at right after the step, which leaves them as they were: Lightning
    clips within ``optimizer.step()``, where nobody is told. Of a closure that the optimizer calls
    several times, as LBFGS does, the first call counts. In manual optimization, the losses of
    ``manual_backward`` are heard, and no others.

    Args:
        observers: Who is told.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.beats = Beats(observers)
        self._handles: list[RemovableHandle] = []
        self._batch_idx = 0
        # Whose step is under way: its gradients are there, its weights have not been changed.
        self._unstepped: Optimizer | None = None
        self._is_stepping = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the optimizers, and to the network; a second call does nothing."""
        if self._handles:
            return
        net = getattr(pl_module, "net", None)
        network = net if isinstance(net, nn.Module) else pl_module
        self._handles = [o.register_step_pre_hook(self._stepping) for o in trainer.optimizers]
        self._handles += [o.register_step_post_hook(self._stepped) for o in trainer.optimizers]
        self._handles.append(network.register_forward_hook(self._computed))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note which batch it is."""
        self._batch_idx = batch_idx

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Tell of the loss; a scaler has scaled it by now."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None:
            self._leave_out()
            loss = loss.detach() / scaler._scale
        if self._unstepped is None:
            # A copy: others add up losses in place.
            self.beats.loss(loss.detach().clone())

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell of the gradients."""
        if self._unstepped is None:
            self.beats.backward()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Tell of all gradients together; a scaler has unscaled them by now."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            return  # A fused one will, and has their scale when it begins.
        if self._unstepped is not optimizer:
            self._leave_out()
            self._unstepped = optimizer
            self.beats.unscale(optimizer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tell of a step that the scaler has left out."""
        self._leave_out()

    def _leave_out(self) -> None:
        if self._unstepped is not None:
            self._tell_of_step(self._unstepped, taken=False)

    def _computed(self, network: nn.Module, inputs: Any, outputs: Any) -> None:
        if network.training and self._unstepped is None:
            self.beats.forward(outputs)

    def _stepping(self, optimizer: Optimizer, arguments: Any, options: Mapping[str, Any]) -> None:
        self._is_stepping = True
        # Lightning hands over a closure, unless a scaler is there, and tells of it then.
        if self._unstepped is None and len(arguments) == 1 and not options.get("closure"):
            self._unstepped = optimizer
            self.beats.unscale(optimizer)

    def _stepped(self, optimizer: Optimizer, arguments: Any, options: Any) -> None:
        # An optimizer whose step() calls that of its base class announces each step twice.
        if self._is_stepping:
            left_out = getattr(optimizer, "found_inf", None)  # a fused one sees to it on its own
            self._tell_of_step(optimizer, taken=left_out is None or not left_out.item())

    def _tell_of_step(self, optimizer: Optimizer, *, taken: bool) -> None:
        self._unstepped, self._is_stepping = None, False
        self.beats.clip(optimizer)
        self.beats.step(optimizer.param_groups, self._batch_idx, taken)

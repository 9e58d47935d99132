"""The beats as events.

One optimizer step, as an observer is notified of it::

    turn        of a task with several optimizers: whose step it is
    forward     once for each call of the network
    losses      once for each micro-batch: the losses by name, before they are added up
    loss        once for each micro-batch: the number that is about to be differentiated
    backward    once for each micro-batch: its gradients have been added
    unscale     all gradients are there, divided by the loss scale
    clip        they are what the optimizer gets, clipped or not
    step        the weights have been updated, or the step was skipped

Whichever loop plays them, with two exceptions. A loop that is not ours may have no moment between
``unscale`` and ``clip``, and then notifies of both at once. A compiled step has no moments at all,
and leaves no gradients: it notifies of ``loss``, ``norms``, ``step``, when it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor, nn
from torch.optim import Optimizer

Norms: TypeAlias = Sequence[float] | Sequence[Tensor]


class GradientNorms(NamedTuple):
    """What is known of a compiled step's gradients.

    Attributes:
        parameters: Those that have one.
        raw: The 2-norm of each one's gradient; numbers, or scalars on a device.
        clipped: The same after clipping; None where nothing is clipped.
        num_later: Steps that have been made after this one: the weights are what those left.
    """

    parameters: Sequence[nn.Parameter]
    raw: Norms
    clipped: Norms | None
    num_later: int


class Observer:
    """Is notified of each beat, right after it. Reads, and changes nothing."""

    def on_forward(self, outputs: Any) -> None:
        """The network has computed outputs; a task may call it several times for a batch."""

    def on_turn(self, turn: int) -> None:
        """It is the turn of one of several optimizers.

        Args:
            turn: Its index among them, from 0, in the order of the config.
        """

    def on_losses(self, losses: Mapping[str, Any]) -> None:
        """A micro-batch's losses have been computed.

        Args:
            losses: By name: tensors, or totals with weights; a single one is called ``loss``.
        """

    def on_loss(self, loss: Tensor) -> None:
        """A micro-batch's loss is about to be differentiated.

        Args:
            loss: A scalar, scaled by the micro-batch's weight in the mean over those of the step.
        """

    def on_backward(self) -> None:
        """A micro-batch's gradients have been added to those of the step."""

    def on_unscale(self, optimizer: Optimizer) -> None:
        """All gradients of the step are there, not clipped yet."""

    def on_clip(self, optimizer: Optimizer) -> None:
        """The gradients are what the optimizer will step with."""

    def on_norms(self, norms: GradientNorms) -> None:
        """A compiled step's gradients had these norms."""

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """The step is over, and the weights have been updated if it was applied.

        Args:
            groups: Of the optimizer: the ``lr`` of each is what it stepped with.
            batch_idx: Index in its epoch of the step's last micro-batch.
            applied: Whether the optimizer updated them; the scaler of 16-mixed, or a hook of the
                module, may have skipped it.
        """

    def close(self) -> None:
        """Nothing more will be observed: remove hooks, if there are any."""


class Beats:
    """Notifies observers: ``beats.loss(loss)`` calls every ``on_loss`` that does something.

    Without an observer, a call costs 50 ns.

    Args:
        observers: Who is notified, in this order.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self.observers = tuple(observers)
        self.forward = self._notifier("on_forward")
        self.turn = self._notifier("on_turn")
        self.losses = self._notifier("on_losses")
        self.loss = self._notifier("on_loss")
        self.backward = self._notifier("on_backward")
        self.unscale = self._notifier("on_unscale")
        self.clip = self._notifier("on_clip")
        self.norms = self._notifier("on_norms")
        self.step = self._notifier("on_step")

    @property
    def wants_forward(self) -> bool:
        """Whether anybody is to be notified of the network's outputs."""
        return self.forward is not _ignore

    @property
    def wants_norms(self) -> bool:
        """Whether a compiled step has to measure its gradients."""
        return self.norms is not _ignore

    def _notifier(self, name: str) -> Callable[..., None]:
        base = getattr(Observer, name)
        hooks = [getattr(o, name) for o in self.observers if getattr(type(o), name) is not base]
        if not hooks:
            return _ignore
        if len(hooks) == 1:
            only: Callable[..., None] = hooks[0]
            return only

        def notify(*arguments: Any) -> None:
            for hook in hooks:
                hook(*arguments)

        return notify


def _ignore(*_: Any) -> None:
    pass

"""``Task``: what is learned, as the user writes it. Beats 1 and 2 are its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MetricCollection

from fourbeat.data.seeding import Split
from fourbeat.optim.patterns import keep_statistics
from fourbeat.tasks.mean import Losses, of_turns
from fourbeat.tasks.stock import StockPlayer

Turns: TypeAlias = Iterator[tuple[str, Losses]]
"""Of a task with several optimizers: whose turn it is, and what that one differentiates."""


LOG_ARGUMENTS = ("prog_bar", "logger", "on_step", "on_epoch")


@runtime_checkable
class Player(Protocol):
    """Plays the beats of a task: one of fourbeat's loops, or a stock Trainer's."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizers and schedulers."""

    def training_step(self, batch: Any, batch_idx: int) -> STEP_OUTPUT:
        """Train on what the loader has yielded."""

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> bool:
        """Return whether Lightning may step a scheduler now."""

    def evaluation_step(self, split: Split, batch: Any, batch_idx: int) -> None:
        """Measure what the loader of a split has yielded."""

    def end_evaluation(self, split: str) -> None:
        """Log what was measured on a whole split, unless it has been done."""

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Feed the metrics, if something is being evaluated."""

    def log_options(self, name: str, value: Any, options: dict[str, Any]) -> dict[str, Any]:
        """Return how Lightning is to log a value of the task's, which may have been logged."""


class Task(LightningModule):
    """Turns a batch into a loss; the loop does the rest.

    A subclass writes :meth:`losses`, or :meth:`steps` for several optimizers that take turns::

        class VAE(fourbeat.Task):
            def losses(self, batch):
                x, _ = batch
                x_hat, mu, logvar = self.net(x)
                return {"reconstruction": mse(x_hat, x), "kl": kl(mu, logvar)}

    It is a LightningModule: ``self.log``, ``self.device``, ``self.global_step``, hooks and
    ``save_hyperparameters`` are Lightning's own, and a stock ``lightning.Trainer`` trains it, if a
    subclass has ``configure_optimizers``.

    Args:
        net: The network; the engine builds ``model`` and passes it.

    Attributes:
        metrics: Fed by :meth:`update_metrics`; those of the config's ``metrics``.
        monitor: The metric by which the best state is chosen where there is no ``val/loss``, e.g.
            ``val/fid``; None: the last state is the best.
        optimizer_names: Under a stock Trainer, whose turn is whose: the names that :meth:`steps`
            yields, in the order in which ``configure_optimizers`` returns the optimizers.
        turns_per_batch: How often an optimizer has its turn on a batch, by name, if not once: from
            it schedules reckon their length. A fraction where not each batch has one: ``1 / 3``.
        frozen_layers: Layers of the network that stay in evaluation mode: those of the config's
            ``freeze`` that have running statistics.
        lacks_metrics: Whether ``metrics=auto`` has found none that fits the data: it is said, once
            something is to be measured.
    """

    monitor: str | None = None
    optimizer_names: tuple[str, ...] = ()
    turns_per_batch: Mapping[str, float] = MappingProxyType({})
    net: Any  # an nn.Module, whose attributes are the user's
    metrics: MetricCollection
    frozen_layers: Sequence[str] = ()
    lacks_metrics: bool = False

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.metrics = MetricCollection({})
        self._player: Player | None = None
        if self.takes_turns:
            self.automatic_optimization = False

    def losses(self, batch: Any) -> Losses:
        """Compute the losses of a batch: forward and loss, in training and evaluation.

        Returns:
            One loss, or several by name. A loss is a scalar, the mean over the batch's samples, or
            a :class:`~fourbeat.tasks.Mean`. Their sum is differentiated; each is logged as
            ``train/NAME`` and ``val/NAME``.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither losses() nor steps().")

    def steps(self, batch: Any) -> Turns:
        """Yield ``name, loss`` for each turn of an optimizer, instead of :meth:`losses`.

        At each yield the loop zeroes, differentiates, unscales, clips and steps the optimizer of
        that name, with the gradients of its parameters alone; then the generator continues.
        """
        raise NotImplementedError(f"{type(self).__name__} has no steps().")

    def evaluate(self, batch: Any) -> Losses:
        """Compute the losses of a batch of the validation or test split.

        Returns:
            As of :meth:`losses`; by default the same ones, or those that :meth:`steps` yields, with
            nothing stepped in between.
        """
        if not self.takes_turns:
            return self.losses(batch)
        return of_turns(self.steps(batch))

    def predict(self, batch: Any) -> Any:
        """Compute the network's outputs of a batch, with or without its targets."""
        return self.net(batch[0] if isinstance(batch, Sequence) else batch)

    def update_metrics(self, outputs: Any, targets: Any) -> None:
        """Feed ``metrics``: to be called in :meth:`losses`; does nothing while training.

        Args:
            outputs: Predictions, as the metrics take them: ``[batch, ...]``.
            targets: What they are compared with: ``[batch, ...]``.
        """
        self.loop.update_metrics(outputs, targets)

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """Log a value as Lightning does, in executions too: that of the step, or the epoch's mean.

        Args:
            name: E.g. ``train/norm``.
            value: A number, or a scalar tensor.
            *args: Lightning's, in its order: ``prog_bar``, ``logger``, ``on_step``, ``on_epoch``.
            **options: Lightning's.
        """
        given = {**dict(zip(LOG_ARGUMENTS, args, strict=False)), **options}
        super().log(name, value, **self.loop.log_options(name, value, given))

    def train(self, mode: bool = True) -> Task:
        """Put the network into training mode, or out of it; what is frozen is never in it."""
        super().train(mode)
        keep_statistics(self.net, self.frozen_layers)
        return self

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights; a buffer that grows in training gets the shape that it has there."""
        for name, buffer in self.named_buffers():
            held = state_dict.get(name)
            if isinstance(held, Tensor) and held.shape != buffer.shape:
                owner, _, own = name.rpartition(".")
                setattr(self.get_submodule(owner), own, buffer.new_empty(held.shape))
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    @property
    def takes_turns(self) -> bool:
        """Whether the task has steps for several optimizers."""
        return type(self).steps is not Task.steps

    @property
    def loop(self) -> Any:
        """What plays the beats: fourbeat's loop, or that of a stock Trainer."""
        if self._player is None:
            self._player = StockPlayer(self)
        return self._player

    @loop.setter
    def loop(self, loop: Player) -> None:
        self._player = loop

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the network."""
        return self.net(*args, **kwargs)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Have the loop build them; override this in a subclass for a stock Trainer alone."""
        built: OptimizerLRScheduler = self.loop.configure_optimizers()
        return built

    def training_step(self, batch: Any, batch_idx: int) -> STEP_OUTPUT:
        """Have the loop play the beats on what the loader has yielded."""
        result: STEP_OUTPUT = self.loop.training_step(batch, batch_idx)
        return result

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a scheduler, unless the scaler of 16-mixed skipped the step that it counts."""
        if self.loop.lr_scheduler_step(scheduler, metric):
            super().lr_scheduler_step(scheduler, metric)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Measure a batch, or an execution of several, of the validation split."""
        self.loop.evaluation_step("val", batch, batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Measure a batch, or an execution of several, of the test split."""
        self.loop.evaluation_step("test", batch, batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        """Compute the outputs of a batch."""
        return self.predict(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the validation under a stock Trainer: call it if you override it."""
        self.loop.end_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Log the test under a stock Trainer: call it if you override it."""
        self.loop.end_evaluation("test")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the loop, as Lightning its Trainer: a copy of the weights needs neither."""
        return {**super().__getstate__(), "_player": None}

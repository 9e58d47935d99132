"""L2: one record for each optimizer step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.base.errors import NonFiniteError
from fourbeat.events import GradientNorms, Observer
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG, Block
from fourbeat.recorder.layer_probes import LayerProbes, LayerRow
from fourbeat.recorder.layers import Layers
from fourbeat.recorder.probes import Scalar, each_norm, numbers
from fourbeat.recorder.unusual import Unusual

Write: TypeAlias = Callable[[str, Block], None]
"""Takes a tag and rows of its table."""

SECONDS_PER_BLOCK = 2.0
# What may wait, of 32 bytes each, on a device of 100 to 200.
MOST_SCALARS = 2**16
FEWEST_ROWS = 32


class Recorder(Observer):
    """Writes down the numbers of each step, and of some steps those of each layer.

    Nothing is read from the device before a block is due, about every two seconds.

    Args:
        network: Whose layers are watched.
        write: Gets the blocks.
        num_groups: Parameter groups of the optimizer.
        first_step: Index of the first step to come.
        layers_every_n_steps: Steps between two rows of the layers' table.
        watch_outputs: Measure what the layers put out, too.
        clips: Whether gradients may be changed between ``unscale`` and ``clip``.
        stop_on_nan: Raise before a gradient that is not finite spoils the weights, which means to
            wait for the device at each step.
        scale: Returns the loss scale of 16-mixed; None: there is none.
        unusual: Has seen the losses so far; None: there were none. An unusual loss and the steps
            right after it get rows of the layers' table, too: on the CPU, where a loss can be
            looked at.

    Attributes:
        step: Index of the step to come, from 0, as on TensorBoard's axis.
        epoch: Index of its epoch, from 0; set by whoever knows it.
    """

    def __init__(
        self,
        network: nn.Module,
        write: Write,
        *,
        num_groups: int = 1,
        first_step: int = 0,
        layers_every_n_steps: int = 100,
        watch_outputs: bool = True,
        clips: bool = True,
        stop_on_nan: bool = False,
        scale: Callable[[], float] | None = None,
        unusual: Unusual | None = None,
    ) -> None:
        self.step, self.epoch = first_step, 0
        self._layers = Layers.of(network)
        self._probes = LayerProbes(self._layers, network if watch_outputs else None)
        self._write, self._every = write, layers_every_n_steps
        self._clips, self._stops, self._scale = clips, stop_on_nan, scale
        self._unusual = unusual or Unusual()
        self._num_groups = num_groups
        rates = (f"lr/{i}" for i in range(num_groups))
        self._plain_columns = ("epoch", "batch_idx", "taken", "loss_scale", *rates)
        self._nothing = (math.nan,) * len(self._layers.parameters)
        self._losses: list[Scalar] = []
        self._norms: Sequence[Scalar] = self._nothing
        self._clipped: Sequence[Scalar] = self._nothing
        self._loss_scale = 1.0
        self._is_behind = False
        # All rows, one after the other: nothing is made for each but its numbers.
        self._scalars: list[Scalar] = []
        self._layer_rows: list[LayerRow] = []
        self._written = time.monotonic()
        self._arm()

    def on_loss(self, loss: Tensor) -> None:
        """Keep the micro-batch's share of the loss."""
        self._losses.append(loss.item() if loss.is_cpu else loss.detach())

    def take_losses(self, losses: Sequence[Tensor]) -> None:
        """Take all of a step at once, in the place of those kept so far."""
        self._losses = []
        for loss in losses:
            self.on_loss(loss)

    def on_unscale(self, optimizer: Optimizer) -> None:
        """Measure the gradients.

        Raises:
            NonFiniteError: One is NaN or infinite.
        """
        self._is_behind = False
        self._norms = self._measured(optimizer)
        if self._scale is not None:
            self._loss_scale = self._scale()
        elif self._stops:
            self._check(self._norms)
        self._look_at_losses()
        self._probes.before_update()

    def on_clip(self, optimizer: Optimizer) -> None:
        """Measure them again."""
        if self._clips:
            self._clipped = self._measured(optimizer)

    def on_norms(self, norms: GradientNorms) -> None:
        """Take the norms of a compiled step's gradients."""
        self._is_behind = norms.num_later > 0
        self._norms = self._layers.in_order(norms.parameters, norms.raw)
        if norms.clipped is not None:
            self._clipped = self._layers.in_order(norms.parameters, norms.clipped)
        self._look_at_losses()

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, taken: bool) -> None:
        """Add a row."""
        rates = [float(group["lr"]) for group in groups[: self._num_groups]]
        if len(rates) < self._num_groups:
            # Of several optimizers, each may have another number of groups.
            rates += [math.nan] * (self._num_groups - len(rates))
        plain = (self.step, self.epoch, batch_idx, taken, self._loss_scale, *rates)
        losses, self._losses = self._losses, []
        self._scalars += (*plain, _sum(losses), *self._norms, *self._clipped)
        self._norms = self._clipped = self._nothing
        # Else the weights are a later step's, which gets the row then.
        if not self._is_behind and (row := self._probes.after_update(self.step)) is not None:
            self._layer_rows.append(row)
        self.step += 1
        self._arm()
        is_full = len(self._scalars) >= max(MOST_SCALARS, FEWEST_ROWS * len(self._nothing))
        if is_full or time.monotonic() - self._written >= SECONDS_PER_BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write the rows so far."""
        scalars, self._scalars = self._scalars, []
        layer_rows, self._layer_rows = self._layer_rows, []
        if scalars:
            self._write(STEPS_TAG, self._block(scalars))
        if layer_rows:
            self._write(LAYERS_TAG, self._probes.block(layer_rows))
        self._written = time.monotonic()

    def close(self) -> None:
        """Write what is left, and leave the network as it came."""
        try:
            self.flush()
        finally:
            self._probes.disarm()

    def _look_at_losses(self) -> None:
        # On a device they stay there: nothing is summed up only to be left alone.
        shares = [loss for loss in self._losses if isinstance(loss, float)]
        if shares and self._unusual.begins_at(self.step, sum(shares)):
            self._probes.arm(with_outputs=False)  # those are made already

    def _measured(self, optimizer: Optimizer) -> Sequence[Scalar]:
        measured = each_norm(self._layers.gradients())
        # A fused optimizer unscales by itself, within its step, if nobody has before.
        scale = getattr(optimizer, "grad_scale", None)
        return measured if scale is None else [norm / scale for norm in measured]

    def _arm(self) -> None:
        if self.step % self._every == 0 or self.step <= self._unusual.until:
            self._probes.arm()

    def _check(self, measured: Sequence[Scalar]) -> None:
        if not math.isfinite(sum(measured)):
            values = [float(norm) for norm in measured]
            bad = next((i for i, v in enumerate(values) if not math.isfinite(v)), 0)
            what = f"the gradient of {self._layers.name_of(bad)}"
            raise NonFiniteError(self.step, what, values[bad])

    def _block(self, scalars: list[Scalar]) -> Block:
        layers, num_plain = self._layers, len(self._plain_columns)
        columns = (
            *self._plain_columns,
            *("loss", "grad_norm_clipped"),
            *(f"grad_norm/{name}" for name in layers.names),
        )
        rows = numbers(scalars).reshape(-1, num_plain + 2 + 2 * len(layers.parameters))
        steps, plain, losses, of_parameters = np.split(rows, [1, 1 + num_plain, 2 + num_plain], 1)
        raw, clipped = (layers.norms(half) for half in np.split(of_parameters, 2, axis=1))
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sqrt((clipped**2).sum(axis=1, keepdims=True))
            values = np.hstack([plain, losses, total, raw]).astype(np.float32)
        return Block(columns, steps[:, 0].astype(np.int64), values)


def _sum(losses: Sequence[Scalar]) -> Scalar:
    if len(losses) == 1:
        return losses[0]
    shares = [loss for loss in losses if isinstance(loss, Tensor)]
    if shares:
        return torch.stack(shares).sum()
    return sum(losses) if losses else math.nan

"""L2: one record for each optimizer step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.errors import NonFiniteError
from fourbeat.events import Observer
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG, Block
from fourbeat.recorder.layer_probes import LayerProbes, LayerRow
from fourbeat.recorder.layers import Layers, numbers
from fourbeat.recorder.probes import norms

Write: TypeAlias = Callable[[str, Block], None]
"""Takes a tag and rows of its table."""

SECONDS_PER_BLOCK = 2.0
# What may wait on the device: scalars of 100 to 200 bytes each.
MOST_SCALARS = 2**16


class Row(NamedTuple):
    """A step, still on the device."""

    step: int
    plain: tuple[float, ...]
    loss: Tensor | None
    norms: list[Tensor] | None
    clipped: list[Tensor] | None


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
    ) -> None:
        self.step, self.epoch = first_step, 0
        self._layers = Layers.of(network)
        self._probes = LayerProbes(self._layers, network if watch_outputs else None)
        self._write, self._every = write, layers_every_n_steps
        self._clips, self._stops, self._scale = clips, stop_on_nan, scale
        self._num_groups = num_groups
        rates = (f"lr/{i}" for i in range(num_groups))
        self._plain_columns = ("epoch", "batch_idx", "taken", "loss_scale", *rates)
        self._most_rows = max(16, MOST_SCALARS // (len(self._layers.parameters) + 1))
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] | None = None
        self._clipped: list[Tensor] | None = None
        self._loss_scale = 1.0
        self._rows: list[Row] = []
        self._layer_rows: list[LayerRow] = []
        self._written = time.monotonic()
        self._arm()

    def on_loss(self, loss: Tensor) -> None:
        """Keep the micro-batch's share of the loss."""
        self._losses.append(loss.detach())

    def on_unscale(self, optimizer: Optimizer) -> None:
        """Measure the gradients.

        Raises:
            NonFiniteError: One is NaN or infinite.
        """
        self._norms = self._measured(optimizer)
        if self._scale is not None:
            self._loss_scale = self._scale()
        elif self._stops:
            self._check(self._norms)
        self._probes.before_update()

    def on_clip(self, optimizer: Optimizer) -> None:
        """Measure them again."""
        if self._clips:
            self._clipped = self._measured(optimizer)

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, taken: bool) -> None:
        """Add a row."""
        rates = [float(group["lr"]) for group in groups[: self._num_groups]]
        # Of several optimizers, each may have another number of groups.
        rates += [math.nan] * (self._num_groups - len(rates))
        plain = (self.epoch, batch_idx, taken, self._loss_scale, *rates)
        losses, self._losses = self._losses, []
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum() if losses else None
        self._rows.append(Row(self.step, plain, loss, self._norms, self._clipped))
        self._norms = self._clipped = None
        if (row := self._probes.after_update(self.step)) is not None:
            self._layer_rows.append(row)
        self.step += 1
        self._arm()
        is_full = len(self._rows) >= self._most_rows
        if is_full or time.monotonic() - self._written >= SECONDS_PER_BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write the rows so far."""
        rows, self._rows = self._rows, []
        layer_rows, self._layer_rows = self._layer_rows, []
        if rows:
            self._write(STEPS_TAG, self._block(rows))
        if layer_rows:
            self._write(LAYERS_TAG, self._probes.block(layer_rows))
        self._written = time.monotonic()

    def close(self) -> None:
        """Write what is left, and leave the network as it came."""
        try:
            self.flush()
        finally:
            self._probes.disarm()

    def _measured(self, optimizer: Optimizer) -> list[Tensor]:
        measured = norms(self._layers.gradients())
        # A fused optimizer unscales by itself, within its step, if nobody has before.
        scale = getattr(optimizer, "grad_scale", None)
        return measured if scale is None else [norm / scale for norm in measured]

    def _arm(self) -> None:
        if self.step % self._every == 0:
            self._probes.arm()

    def _check(self, measured: Sequence[Tensor]) -> None:
        values = [norm.item() for norm in measured]
        if not math.isfinite(sum(values)):
            bad = next((i for i, v in enumerate(values) if not math.isfinite(v)), 0)
            what = f"the gradient of {self._layers.name_of(bad)}"
            raise NonFiniteError(self.step, what, values[bad])

    def _block(self, rows: Sequence[Row]) -> Block:
        layers = self._layers
        plain = np.array([row.plain for row in rows], np.float64)
        fetched = _Fetched(rows, len(layers.parameters))
        raw, clipped = layers.norms(fetched.norms), layers.norms(fetched.clipped)
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sqrt((clipped**2).sum(axis=1))
        columns = (
            *self._plain_columns,
            *("loss", "grad_norm_clipped"),
            *(f"grad_norm/{name}" for name in layers.names),
        )
        values = np.column_stack([plain, fetched.losses, total, raw])
        steps = np.array([row.step for row in rows], np.int64)
        with np.errstate(over="ignore", invalid="ignore"):
            return Block(columns, steps, values.astype(np.float32))


class _Fetched:
    """The scalars of all rows, fetched from the device at once; NaN where there is none."""

    def __init__(self, rows: Sequence[Row], num_parameters: int) -> None:
        scalars = [row.loss for row in rows if row.loss is not None]
        for row in rows:
            scalars += [*(row.norms or ()), *(row.clipped or ())]
        values = iter(numbers(scalars).tolist() if scalars else ())
        nothing = [math.nan] * num_parameters
        self.losses = [math.nan if row.loss is None else next(values) for row in rows]
        pairs = []
        for row in rows:
            raw = [next(values) for _ in row.norms] if row.norms else nothing
            pairs.append((raw, [next(values) for _ in row.clipped] if row.clipped else nothing))
        self.norms, self.clipped = (np.array(part) for part in zip(*pairs, strict=True))

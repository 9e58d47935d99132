"""One record for each optimizer step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.base.errors import NonFiniteError
from fourbeat.base.shapes import Float64
from fourbeat.events import GradientNorms, Observer
from fourbeat.lightning.torch_optim import scale_within_step
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG, Block
from fourbeat.recorder.columns import split_columns
from fourbeat.recorder.layer_probes import LayerProbes, LayerRow
from fourbeat.recorder.layers import Layers
from fourbeat.recorder.probes import Scalar, fetch_numbers, measure_norms
from fourbeat.recorder.ranges import SpikeDetector

Write: TypeAlias = Callable[[str, Block], None]
"""Takes a tag and rows of its table."""

OF_STEP = ("epoch", "batch_idx", "applied", "loss_scale")
"""What a step has one of, besides its index and its loss."""

SECONDS_PER_BLOCK = 2.0
# Scalars that may wait to be written: 32 bytes each, on a device 100 to 200. Of a network with
# more parameters than that, at least so many rows.
MAX_SCALARS = 2**16
MIN_ROWS = 32


class Recorder(Observer):
    """Records the numbers of each step, and for some steps those of each layer.

    Nothing is read from the device before a block is due, about every two seconds. The columns are
    declared in :mod:`fourbeat.recorder.columns`.

    Args:
        network: Whose layers are measured.
        write: Sink for blocks of rows.
        num_groups: Parameter groups of the optimizer; those that are added later come on top.
        are_several: Whether other optimizers take turns with it: then only the gradients of its own
            parameters are measured, for those of the others are what an earlier turn has left.
        first_step: Index of the first step to come.
        layers_every_n_steps: Steps between two rows of the layers' table.
        watch_outputs: Measure the layers' outputs, too.
        clips: Whether gradients may be changed between ``unscale`` and ``clip``.
        stop_on_nan: Raise before a gradient with a NaN or Inf corrupts the weights, which means to
            wait for the device at each step.
        scale: Returns the loss scale of 16-mixed; None: there is none.
        spikes: Has seen the losses so far; None: there were none. A spike of the loss and the
            steps right after it get rows of the layers' table, too: on the CPU, where reading a
            loss costs nothing.

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
        are_several: bool = False,
        first_step: int = 0,
        layers_every_n_steps: int = 100,
        watch_outputs: bool = True,
        clips: bool = True,
        stop_on_nan: bool = False,
        scale: Callable[[], float] | None = None,
        spikes: SpikeDetector | None = None,
    ) -> None:
        self.step, self.epoch = first_step, 0
        self._layers = Layers.of(network)
        self._probes = LayerProbes(self._layers, network if watch_outputs else None)
        self._write, self._every = write, layers_every_n_steps
        self._clips, self._stops, self._scale = clips, stop_on_nan, scale
        self._spikes = spikes or SpikeDetector()
        self._num_groups, self._are_several = num_groups, are_several
        self._nothing = (math.nan,) * len(self._layers.parameters)
        self._losses: list[Scalar] = []
        # What not every training has, of this step and of each row: a block has columns of its own.
        self._extra: dict[str, list[Scalar]] = {}
        self._extras: list[Mapping[str, list[Scalar]]] = []
        self._norms: Sequence[Scalar] = self._nothing
        self._clipped: Sequence[Scalar] = self._nothing
        self._loss_scale = 1.0
        self._is_behind = False
        # All rows, one after the other: nothing is made for each but its numbers.
        self._scalars: list[Scalar] = []
        self._layer_rows: list[LayerRow] = []
        self._written = time.monotonic()
        self._arm()

    def on_turn(self, turn: int) -> None:
        """Record whose turn it is."""
        self._extra["turn"] = [float(turn)]

    def on_losses(self, losses: Mapping[str, Any]) -> None:
        """Record the micro-batch's losses by name, where there are several or turns."""
        if len(losses) <= 1 and not self._extra:
            return
        for name, loss in losses.items():
            value = getattr(loss, "value", loss)
            number = value.item() if value.is_cpu else value.detach()
            self._extra.setdefault(f"named_loss/{name}", []).append(number)

    def on_loss(self, loss: Tensor) -> None:
        """Record the micro-batch's scaled loss."""
        self._losses.append(loss.item() if loss.is_cpu else loss.detach())

    def replace_losses(self, losses: Sequence[Tensor]) -> None:
        """Record all losses of a step at once, in place of those recorded so far."""
        self._losses = []
        for loss in losses:
            self.on_loss(loss)

    def on_unscale(self, optimizer: Optimizer) -> None:
        """Measure the gradients.

        Raises:
            NonFiniteError: One has a NaN or Inf, and ``stop_on_nan`` is set.
        """
        self._is_behind = False
        self._norms = self._gradient_norms(optimizer)
        if self._scale is not None:
            self._loss_scale = self._scale()
        elif self._stops:
            self._check(self._norms)
        self._detect_spike()
        self._probes.before_update()

    def on_clip(self, optimizer: Optimizer) -> None:
        """Measure the gradients again, if they may have been clipped."""
        if self._clips:
            self._clipped = self._gradient_norms(optimizer)

    def on_norms(self, norms: GradientNorms) -> None:
        """Record the norms of a compiled step's gradients."""
        self._is_behind = norms.num_later > 0
        self._norms = self._layers.in_order(norms.parameters, norms.raw)
        if norms.clipped is not None:
            self._clipped = self._layers.in_order(norms.parameters, norms.clipped)
        self._detect_spike()

    def on_step(self, groups: Sequence[Mapping[str, Any]], batch_idx: int, applied: bool) -> None:
        """Add a row, and write the rows so far if a block is due."""
        rates = [float(group["lr"]) for group in groups]
        if len(rates) != self._num_groups:
            # Of several optimizers, each may have another number of groups.
            rates += [math.nan] * (self._num_groups - len(rates))
            for index in range(self._num_groups, len(rates)):
                self._extra[f"lr/{index}"] = [rates.pop(self._num_groups)]
        losses, self._losses = self._losses, []
        # In the order of _widths, which gives the numbers back by name.
        self._scalars += (
            *(self.step, self.epoch, batch_idx, applied, self._loss_scale, *rates),
            *(_sum(losses), *self._norms, *self._clipped),
        )
        self._norms = self._clipped = self._nothing
        self._extras.append(self._extra)
        self._extra = {}
        # Else the weights are a later step's, which gets the row then.
        if not self._is_behind and (row := self._probes.after_update(self.step)) is not None:
            self._layer_rows.append(row)
        self.step += 1
        self._arm()
        is_full = len(self._scalars) >= max(MAX_SCALARS, MIN_ROWS * len(self._nothing))
        if is_full or time.monotonic() - self._written >= SECONDS_PER_BLOCK:
            self.flush()

    @property
    def begun(self) -> dict[str, list[float]]:
        """Of a step that is not over: its losses so far, as a state holds them."""
        losses = {"losses": self._losses} if self._losses else {}
        return {name: [*map(float, each)] for name, each in {**self._extra, **losses}.items()}

    @begun.setter
    def begun(self, losses: Mapping[str, Sequence[Scalar]]) -> None:
        self._extra = {name: list(each) for name, each in losses.items()}
        self._losses = self._extra.pop("losses", [])

    def flush(self) -> None:
        """Write the rows so far, and begin new blocks."""
        scalars, self._scalars = self._scalars, []
        layer_rows, self._layer_rows = self._layer_rows, []
        extras, self._extras = self._extras, []
        if scalars:
            self._write(STEPS_TAG, self._block(scalars, extras))
        if layer_rows:
            self._write(LAYERS_TAG, self._probes.block(layer_rows))
        self._written = time.monotonic()

    def close(self) -> None:
        """Write what is left, and leave the network without hooks."""
        try:
            self.flush()
        finally:
            self._probes.disarm()

    def _detect_spike(self) -> None:
        # On a device they stay there: reading one would wait for all that is under way.
        losses = [loss for loss in self._losses if isinstance(loss, float)]
        if losses and self._spikes.detect(self.step, sum(losses)):
            self._probes.arm(with_outputs=False)  # those of this step are computed already

    def _gradient_norms(self, optimizer: Optimizer) -> Sequence[Scalar]:
        measured = measure_norms(self._layers.gradients())
        if self._are_several:
            own = {id(p) for group in optimizer.param_groups for p in group["params"]}
            pairs = zip(self._layers.parameters, measured, strict=True)
            measured = [norm if id(p) in own else 0.0 for p, norm in pairs]
        # A fused optimizer unscales by itself, within its step, if nobody has before.
        scale = scale_within_step(optimizer)
        return measured if scale is None else [norm / scale for norm in measured]

    def _arm(self) -> None:
        if self.step % self._every == 0 or self.step <= self._spikes.until:
            self._probes.arm()

    def _check(self, measured: Sequence[Scalar]) -> None:
        if not math.isfinite(sum(measured)):
            values = [float(norm) for norm in measured]
            bad = next((i for i, v in enumerate(values) if not math.isfinite(v)), 0)
            what = f"the gradient of {self._layers.name_of(bad)}"
            raise NonFiniteError(self.step, what, values[bad])

    def _block(self, scalars: list[Scalar], extras: list[Mapping[str, list[Scalar]]]) -> Block:
        numbers = self._by_name(scalars)
        norms = self._layers.norms
        raw, clipped = norms(numbers["grad_norm"]), norms(numbers["grad_norm_clipped"])
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sqrt((clipped**2).sum(axis=1))
        return Block.of(
            numbers["step"][:, 0],
            {
                **{name: numbers[name][:, 0] for name in OF_STEP},
                **split_columns("lr", range(self._num_groups), numbers["lr"]),
                "loss": numbers["loss"][:, 0],
                "grad_norm_clipped": total,
                **split_columns("grad_norm", self._layers.names, raw),
                **_columns_of(extras),
            },
        )

    def _by_name(self, scalars: list[Scalar]) -> dict[str, Float64[ndarray, "rows numbers"]]:
        widths = self._widths()
        rows = fetch_numbers(scalars).reshape(-1, sum(widths.values()))
        edges = np.cumsum([*widths.values()])[:-1]
        return dict(zip(widths, np.split(rows, edges, axis=1), strict=True))

    def _widths(self) -> dict[str, int]:
        """Return how many scalars of each kind a row has, in their order."""
        return {
            **dict.fromkeys(("step", *OF_STEP), 1),
            "lr": self._num_groups,
            "loss": 1,
            "grad_norm": len(self._nothing),
            "grad_norm_clipped": len(self._nothing),
        }


def _columns_of(rows: Sequence[Mapping[str, list[Scalar]]]) -> dict[str, ndarray]:
    """Return the columns of what some rows have; NaN for the others."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return {}
    each = [row.get(name, [math.nan]) for row in rows for name in names]
    numbers = fetch_numbers([_sum(values) / len(values) for values in each])
    return dict(zip(names, numbers.reshape(len(rows), -1).T, strict=True))


def _sum(losses: Sequence[Scalar]) -> Scalar:
    if len(losses) == 1:
        return losses[0]
    tensors = [loss for loss in losses if isinstance(loss, Tensor)]
    if tensors:
        return torch.stack(tensors).sum()
    return sum(losses) if losses else math.nan

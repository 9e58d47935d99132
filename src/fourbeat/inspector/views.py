"""What the inspector shows, as lines of text. Everything here only reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from fourbeat.base.extras import install_hint, is_installed
from fourbeat.base.numbers import format_number
from fourbeat.base.text import align_columns
from fourbeat.data.batches import list_tensors, name_tensors
from fourbeat.inspector.places import BEATS, Here, describe_beat
from fourbeat.recorder.layers import Layers
from fourbeat.recorder.probes import measure_norms
from fourbeat.tasks import Supervised

BINS, BAR = 12, 32
SHADES = " .:-=+*#%@"


def describe_place(here: Here) -> str:
    """Return the present place in one line."""
    beat = describe_beat(BEATS[here.place.beat])
    loss = "" if here.loss is None else f", loss {format_number(float(here.loss.detach()))}"
    return (
        f"step {here.place.step}, {beat}: epoch {here.epoch}, batch {here.batch_idx}, "
        f"{here.num_samples} samples{loss}"
    )


def show_layers(here: Here) -> list[str]:
    """Show each layer: its kind, weights, gradients, and the latest update."""
    network = here.components.net
    owners, modules = Layers.of(network), dict(network.named_modules())
    row = here.records.layers.row(here.place.step) or {}
    rows = [("layer", "kind", "parameters", "weight norm", "gradient norm", "update norm")]
    for name, own in owners.grouped(owners.parameters):
        gradients = [p.grad for p in own if p.grad is not None]
        update = row.get(f"update_norm/{name}")
        rows.append(
            (
                name,
                type(modules.get(name, network)).__name__,
                f"{sum(p.numel() for p in own):,}",
                format_number(_norm([p.detach() for p in own])),
                format_number(_norm(gradients) if gradients else None),
                format_number(update),
            )
        )
    return align_columns(rows, left=2)


def show_layer(here: Here, name: str) -> list[str]:
    """Show the histograms of a layer: weights and their gradients.

    Raises:
        KeyError: There is no such layer.
    """
    module = dict(here.components.net.named_modules())[name]
    lines: list[str] = []
    for own, parameter in module.named_parameters(recurse=False):
        lines += [f"{name}.{own} {list(parameter.shape)}", *draw_histogram(parameter.detach())]
        if parameter.grad is not None:
            lines += [f"{name}.{own}.grad", *draw_histogram(parameter.grad)]
    return lines or [f"{name}: {module}, without weights"]


def draw_histogram(values: Tensor) -> list[str]:
    """Draw a histogram as text; NaN and Inf are counted apart.

    Args:
        values: Any shape.
    """
    flat = values.detach().double().flatten().cpu()
    finite = flat[flat.isfinite()].numpy()
    lines = []
    if len(finite):
        counts, edges = np.histogram(finite, BINS)
        for count, low, high in zip(counts, edges, edges[1:], strict=False):
            bar = "█" * math.ceil(BAR * count / counts.max())
            lines.append(f"  {low:>10.3g} to {high:>10.3g}  {bar} {count:,}")
    if bad := len(flat) - len(finite):
        lines.append(f"  NaN or Inf: {bad:,} of {len(flat):,}")
    return lines


def show_batch(here: Here) -> list[str]:
    """Show which samples the batch has, and what they are made of."""
    head = f"batch {here.batch_idx} of epoch {here.epoch}: {here.num_samples} samples"
    if here.pair is not None:
        return _show_pair(here, head, *here.pair)
    rows = [
        (name, f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}", *_numbers(value))
        for name, value in name_tensors(here.batch)
    ]
    indices = [f"indices  {_some(here.indices)}"] if here.indices else []
    return [head, *indices, *align_columns([("tensor", "shape", "mean", "std", "largest"), *rows])]


def _show_pair(here: Here, head: str, inputs: Tensor, targets: Tensor) -> list[str]:
    mean, std, largest = _numbers(inputs)
    return [
        f"{head} of shape {list(inputs.shape[1:])}",
        f"indices  {_some(here.indices)}",
        f"targets  {_some(targets.tolist())}",
        f"inputs   mean {mean}, std {std}, largest {largest}",
    ]


def _some(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:16])) + (", ..." if len(values) > 16 else "")


def _numbers(values: Tensor) -> tuple[str, str, str]:
    numbers = values.float()
    each = numbers.mean(), numbers.std(), numbers.abs().max()
    mean, std, largest = (format_number(float(number)) for number in each)
    return mean, std, largest


def show_picture(here: Here, position: int, file: Path | None = None) -> list[str]:
    """Show a sample: an image as text or as a PNG file, other inputs as numbers.

    Args:
        here: The present place.
        position: Which sample of the batch, from 0.
        file: Written instead of shown.

    Raises:
        IndexError: The batch has no such sample.
        OSError: The file cannot be written.
    """
    inputs = here.pair[0] if here.pair else list_tensors(here.batch)[0]
    sample = inputs[position].detach().float().cpu()
    title = f"sample {_index(here, position)}{_target(here, position)}"
    if sample.dim() not in (2, 3) or sample.shape[-1] < 2:
        return [title, "  " + ", ".join(format_number(v) for v in sample.flatten().tolist()[:32])]
    grey = _grey(sample)
    if file is None:
        return [title, *("".join(SHADES[int(9 * v)] * 2 for v in row) for row in grey)]
    if not is_installed("PIL"):
        return [f"writing a picture needs pillow, which is missing. {install_hint('pictures')}"]
    from PIL import Image

    scale = max(1, 256 // max(grey.shape))
    pixels = np.kron((255 * grey).astype(np.uint8), np.ones((scale, scale), np.uint8))
    Image.fromarray(pixels).save(file, "PNG")
    return [f"{title}: written to {file}"]


def show_losses(here: Here) -> list[str]:
    """Show the loss of each sample, the largest first; only the loss is computed again.

    Raises:
        LookupError: There are no outputs yet.
    """
    outputs = _outputs_of(here, "there are no outputs before forward: type beat").detach()
    with torch.no_grad():
        each = [_loss_of(here, outputs, i) for i in range(here.num_samples)]
    values = [float(loss) for loss in each]
    return _ranked(here, values, "loss")


def show_gradients(here: Here) -> list[str]:
    """Show the norm of each sample's gradient, the largest first.

    From the graph of the forward pass: with its dropout masks, nothing is drawn again.

    Raises:
        LookupError: There is no graph, before forward or after backward.
    """
    graph_is_there = BEATS[here.place.beat] in ("forward", "loss")
    hint = "only between forward and backward: type goto STEP loss"
    outputs = _outputs_of(here, hint)
    if not graph_is_there:
        raise LookupError(hint)
    parameters = Layers.of(here.components.net).parameters
    values = []
    for i in range(here.num_samples):
        found = torch.autograd.grad(
            _loss_of(here, outputs, i), parameters, retain_graph=True, allow_unused=True
        )
        values.append(_norm([g for g in found if g is not None]))
    return _ranked(here, values, "gradient norm")


def show_moments(here: Here) -> list[str]:
    """Show the norms of the optimizer's state of each layer."""
    owners, state = Layers.of(here.components.net), here.optimizer.state
    kinds = list(dict.fromkeys(k for s in state.values() for k, v in s.items() if _is_moment(v)))
    if not kinds:
        return [f"{type(here.optimizer).__name__} has no state"]
    rows: list[tuple[str, ...]] = [("layer", *kinds)]
    for name, parameters in owners.grouped(owners.parameters):
        own = [state.get(p, {}) for p in parameters]
        found = ([s[kind] for s in own if _is_moment(s.get(kind))] for kind in kinds)
        rows.append((name, *(format_number(_norm(f) if f else None) for f in found)))
    return align_columns(rows, left=1)


def show_curves(steps: ndarray, values: ndarray, others: ndarray) -> list[str]:
    """Show two curves side by side, and bars that tell them apart.

    Args:
        steps: Index of each step.
        values: Of the run; NaN at steps that it has not made.
        others: Of the branch.
    """
    finite = np.concatenate([values, others])
    finite = finite[np.isfinite(finite) & (finite > 0)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 1.0)
    rows = [("step", "run", "branch", "")]
    for step, value, other in zip(steps, values.tolist(), others.tolist(), strict=True):
        run = "-" if math.isnan(value) else format_number(value)
        bars = " ".join(_bar(v, low, high).ljust(BAR // 2) for v in (value, other))
        rows.append((str(step), run, format_number(other), bars))
    return align_columns(rows, left=0)


def _bar(value: float, low: float, high: float) -> str:
    """Draw a bar as long as the logarithm: an explosion spans twenty powers of ten."""
    if math.isnan(value) or value <= 0:
        return ""
    if math.isinf(value):
        return "!" * (BAR // 2)
    span = math.log(high / low) or 1.0
    return "█" * (1 + round((BAR // 2 - 1) * math.log(value / low) / span))


def _loss_of(here: Here, outputs: Tensor, index: int) -> Tensor:
    assert here.pair is not None
    task = here.components.module
    loss: Tensor = task.loss(outputs[index : index + 1], here.pair[1][index : index + 1])  # type: ignore[operator]
    return loss


def _outputs_of(here: Here, hint: str) -> Tensor:
    """Return the network's outputs, of which each sample's loss can be computed.

    Raises:
        LookupError: There are none yet, or the task's loss is not one of each sample.
    """
    task = here.components.module
    if not isinstance(task, Supervised) or here.pair is None:
        raise LookupError(f"{type(task).__name__} has no loss of a single sample; Supervised has")
    if not isinstance(here.outputs, Tensor):
        raise LookupError(hint)
    return here.outputs


def _ranked(here: Here, values: Sequence[float], what: str) -> list[str]:
    order = sorted(range(len(values)), key=lambda i: (math.isfinite(values[i]), -values[i]))
    rows: list[tuple[str, ...]] = [("position", "sample", "target", what)]
    for i in order[:10]:
        target = _target(here, i).removeprefix(", target ")
        rows.append((str(i), _index(here, i), target, format_number(values[i])))
    lines = align_columns(rows, left=0)
    return [*lines, f"the largest {len(rows) - 1} of {len(values)}"]


def _index(here: Here, position: int) -> str:
    return str(here.indices[position]) if here.indices else f"{position} of the batch"


def _target(here: Here, position: int) -> str:
    return f", target {here.pair[1][position].tolist()}" if here.pair else ""


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(n) ** 2 for n in measure_norms([t.detach() for t in tensors])))


def _is_moment(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0


def _grey(sample: Tensor) -> ndarray:
    image = sample.mean(dim=0) if sample.dim() == 3 else sample
    low, high = image.min(), image.max()
    grey: ndarray = ((image - low) / (high - low).clamp(min=1e-12)).numpy()
    return grey

"""Several optimizer steps as one compiled graph: forward, loss, backward, clip, update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fourbeat.compile.messages import CompileFailure, reason_of
from fourbeat.compile.objective import Kinds, Objective, hook_obstacle, name_parts, parts_of
from fourbeat.compile.update import StepHyperparameters, Updates, optimizer_obstacle
from fourbeat.data import Batch, Execution
from fourbeat.data.batches import list_tensors, replace_tensors
from fourbeat.lightning.torch_compile import BERNOULLI, compile_traced
from fourbeat.tasks import Loss, Task

Graph: TypeAlias = Callable[..., Any]

# Each takes seconds to compile. Training and evaluation mode, layers that thaw: few are of use.
MOST_PLANS = 8


def _draw(mask: Tensor, p: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    return mask.copy_(torch.rand_like(mask) < p)


# Dropout's mask, in a form that inductor compiles. It would call torch's own function, with a
# memory layout of its choice: attention's dropout then gave other losses, and NaN in one trial.
_DECOMPOSITIONS: dict[Any, Any] = {BERNOULLI: _draw}


def whole_step_obstacle(task: Task, optimizer: Optimizer) -> str | None:
    """Say for a user why whole steps cannot be compiled, as far as can be seen without trying.

    Returns:
        The reason, as the end of a sentence; None when `CompiledSteps` can be tried.
    """
    if task.takes_turns:
        return f"the optimizers of {type(task).__name__} take turns"
    return optimizer_obstacle(optimizer) or hook_obstacle(task)


class CompiledResult(NamedTuple):
    """What optimizer steps came to.

    Attributes:
        losses: Of each mini-batch before its update, ``[num_steps]``.
        named: The losses of each mini-batch by name, of which that one is the sum.
        parameters: Those that were trained.
        norms: 2-norm of each one's gradient, ``[num_steps, parameters]``, as precise as they,
            infinite where a square is; None: not measured.
        clipped: The same after clipping; None also where nothing is clipped.
    """

    losses: Tensor
    named: Sequence[Mapping[str, Loss]]
    parameters: Sequence[nn.Parameter]
    norms: Tensor | None = None
    clipped: Tensor | None = None


class CompiledSteps:
    """Plays optimizer steps in compiled graphs, on the real parameters and the real state.

    The trained weights, the optimizer's state and the buffers are changed in place, and agree with
    an eager loop's up to rounding; eager steps may come before, after and in between. Dropout draws
    other masks than an eager loop does; the same for the same seed of torch, at any
    ``steps_per_call``.

    The graph is traced (`make_fx`) and compiled by inductor, without Dynamo: its guards cost 60 us
    a call. What they watch is watched here once per play: shapes, train and eval mode, frozen
    parameters, and the attributes of task and modules. Not watched, so fixed by the first play:
    global variables that a ``forward`` reads, what is inside the lists and dicts that it keeps, and
    what of a batch is no tensor.

    Args:
        task: Without turns.
        optimizer: Without a `whole_step_obstacle`.
        gradient_clip_val: Largest gradient norm or value; None or 0 for no clipping.
        gradient_clip_algorithm: ``norm`` or ``value``.
        steps_per_call: Mini-batches per graph. Compiling takes time in proportion; more than 4
            gained nothing.
        autocast: Makes the context of forward and loss, e.g. for ``bf16-mixed``.

    Raises:
        CompileFailure: There is a `whole_step_obstacle`.
        ValueError: ``gradient_clip_algorithm`` is unknown, or ``steps_per_call`` is below 1.
    """

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        *,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str = "norm",
        steps_per_call: int = 4,
        autocast: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> None:
        if gradient_clip_algorithm not in ("norm", "value"):
            raise ValueError(
                f"gradient_clip_algorithm is {gradient_clip_algorithm!r}: it must be norm or value"
            )
        if steps_per_call < 1:
            raise ValueError(f"steps_per_call is {steps_per_call}: it must be at least 1")
        self._objective = Objective(task, autocast or nullcontext)
        self._optimizer = optimizer
        self._clip = _clipping(gradient_clip_val or 0.0, gradient_clip_algorithm)
        self._steps_per_call = steps_per_call
        self._plans: dict[Any, _Plan] = {}
        self._refuse_obstacles()

    @torch.no_grad()
    def play(
        self,
        execution: Execution,
        hyperparameters: Sequence[StepHyperparameters],
        *,
        start: int = 0,
        measure: bool = False,
    ) -> CompiledResult:
        """Make one optimizer step for each of ``num_steps`` mini-batches, in order.

        Args:
            execution: Whose mini-batches from ``start`` on have one size and layout.
            hyperparameters: For each of the ``num_steps``, what `scheduled_hyperparameters` would
                have noted right before it.
            start: Position of the first mini-batch.
            measure: Have the norms of the gradients, too: a twentieth of a small network's step. No
                weight differs by it.

        Raises:
            CompileFailure: These steps cannot be compiled; nothing has changed.
            ValueError: There are not so many mini-batches of one size.
        """
        num_steps = len(hyperparameters)
        sizes = execution.sizes[start : start + num_steps]
        if num_steps == 0 or sizes != sizes[:1] * num_steps:
            raise ValueError(f"mini-batches of {sizes} are not {num_steps} of one size")
        values = self._objective.values()
        first = execution.stacked(start, start + 1)
        plan = self._plan(values, first)
        updates = Updates(self._optimizer, plan.parameters, hyperparameters)
        table = updates.coefficients()

        def batches(steps: range) -> list[Tensor]:
            tensors = list_tensors(execution.stacked(start + steps.start, start + steps.stop))
            return [*tensors, table[steps.start : steps.stop]]

        chunks = _chunks(num_steps, self._steps_per_call)
        # All graphs before the first step: a failure must find every weight as it was.
        graphs = [self._graph(plan, updates, values, s, batches, first, measure) for s in chunks]
        tensors = [*values.values(), *updates.slots()]
        parts = [graph(*tensors, *batches(s)) for graph, s in zip(graphs, chunks, strict=True)]
        updates.count_steps(num_steps)
        losses, *others = (torch.cat(column) for column in zip(*parts, strict=True))
        named, norms = name_parts(plan.losses, losses, others)
        return CompiledResult(losses, named, plan.parameters, *norms)

    def _plan(self, values: dict[str, Tensor], batch: Batch) -> _Plan:
        """Find the parameters that train, once for each thing that a graph depends on."""
        tensors = [*values.values(), *list_tensors(batch)]
        shapes = tuple((t.shape, t.stride(), t.dtype, t.device) for t in tensors)
        signature = (shapes, self._objective.behaviour())
        if signature not in self._plans:
            self._refuse_obstacles()
            if len(self._plans) == MOST_PLANS:
                raise CompileFailure("attributes of task or layers change while it trains")
            with _failing_as_compile_failure():
                names, losses = self._objective.trial(values, batch)
            reached = {dict(self._objective.named_parameters())[name]: name for name in names}
            # In the optimizer's order, in which eager steps create its state.
            groups = self._optimizer.param_groups
            trained = [p for group in groups for p in group["params"] if p in reached]
            kept = self._objective.referents()
            self._plans[signature] = _Plan([reached[p] for p in trained], trained, losses, {}, kept)
        return self._plans[signature]

    def _graph(
        self,
        plan: _Plan,
        updates: Updates,
        values: dict[str, Tensor],
        steps: range,
        batches: Callable[[range], Sequence[Tensor]],
        first: Batch,
        measure: bool,
    ) -> Graph:
        """Compile the graph for some mini-batches, unless that has been done."""
        key = (len(steps), tuple(updates.slot_names), measure)
        if key not in plan.graphs:
            weights = [values[name] for name in plan.names]
            pairs = zip(weights, updates.slot_names, strict=True)
            slots = [torch.empty_like(weight) for weight, names in pairs for _ in names]
            with _failing_as_compile_failure():
                plan.graphs[key] = compile_traced(
                    self._steps(plan.names, updates, list(values), first, measure),
                    [*values.values(), *slots, *batches(steps)],
                    _DECOMPOSITIONS,
                )
        return plan.graphs[key]

    def _steps(
        self, names: list[str], updates: Updates, all_names: list[str], first: Batch, measure: bool
    ) -> Graph:
        """Write the beats of some mini-batches as a function of tensors alone, to be traced."""
        rule, slot_names = updates.rule, updates.slot_names
        num_batch_tensors = len(list_tensors(first))

        def steps(*tensors: Tensor) -> list[Tensor]:
            values = dict(zip(all_names, tensors, strict=False))
            *before, table = tensors
            slots = iter(before[len(all_names) :])
            state = [[next(slots) for _ in names] for names in slot_names]
            leaves = [tensor.chunk(len(table)) for tensor in before[-num_batch_tensors:]]
            results = []
            for batch_tensors, rows in zip(zip(*leaves, strict=True), table, strict=True):
                batch = replace_tensors(first, batch_tensors)
                found = self._objective.gradients(values, names, batch)
                raw = [grad for grad in found.of.values() if grad is not None]
                clipped = self._clip(raw)
                measured = [raw] if clipped is raw else [raw, clipped]
                losses = [found.loss.detach(), *parts_of(found.named)]
                results.append([*losses, *map(_norms, measured if measure else [])])
                for name, grad, own, row in zip(names, clipped, state, rows, strict=True):
                    rule.update(values[name], grad, own, list(row.unbind()))
            return [torch.stack(column) for column in zip(*results, strict=True)]

        return steps

    def _refuse_obstacles(self) -> None:
        obstacle = whole_step_obstacle(self._objective.task, self._optimizer)
        if obstacle is not None:
            raise CompileFailure(obstacle)


@dataclass(frozen=True)
class _Plan:
    """What trains: parameters, the losses' names and kinds, graphs, and what their key is made of.

    As long as `referents` are alive, no other object has the identity that the key knows them by.
    """

    names: list[str]
    parameters: list[nn.Parameter]
    losses: Kinds
    graphs: dict[Any, Graph]
    referents: list[object]


def _chunks(num_steps: int, steps_per_call: int) -> list[range]:
    """Cut steps into calls; those left over go one by one, for a graph of each size costs time."""
    whole = num_steps - num_steps % steps_per_call
    chunks = [range(start, start + steps_per_call) for start in range(0, whole, steps_per_call)]
    return chunks + [range(step, step + 1) for step in range(whole, num_steps)]


def _clipping(value: float, algorithm: str) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    if value <= 0:
        return lambda grads: grads
    if algorithm == "value":
        return lambda grads: [grad.clamp(-value, value) for grad in grads]

    def by_norm(grads: Sequence[Tensor]) -> Sequence[Tensor]:
        """As `torch.nn.utils.clip_grad_norm_`."""
        norm = _norms(grads).norm()
        factor = (value / (norm + 1e-6)).clamp(max=1.0)
        return [grad * factor for grad in grads]

    return by_norm


def _norms(grads: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.linalg.vector_norm(grad) for grad in grads])


@contextmanager
def _failing_as_compile_failure() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # forward is a user's, the compiler's are of any type
        raise CompileFailure(reason_of(error)) from error

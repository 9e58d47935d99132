"""The optimizers' updates, written so that a compiler can fuse each into one pass of memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from fourbeat.lightning.torch_optim import has_step_hooks, mark_as_stepped
from fourbeat.lightning.torch_tensors import add_to_all

StepHyperparameters: TypeAlias = Sequence[Mapping[str, Any]]
"""For each of the optimizer's ``param_groups``, in order: what may change from step to step.

``lr``, ``weight_decay``, ``eps`` (floats), ``betas`` (two floats), ``momentum``, ``dampening``
(floats), ``nesterov`` (bool). A name that is absent keeps its value in the group.
"""

_SCHEDULED = ("lr", "weight_decay", "eps", "betas", "momentum", "dampening", "nesterov")
_COMPILED = (SGD, Adam, AdamW)
_UNSUPPORTED_OPTIONS = ("amsgrad", "maximize", "differentiable")


class UpdateRule(ABC):
    """One optimizer's arithmetic, in two halves: numbers for a step, then tensors with them.

    Weight decay subtracts a negative: inductor would turn a matrix product plus something into
    `addmm`, which needs a copy of that something, as large as the weight.
    """

    @abstractmethod
    def slots(self, hyperparameters: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Name the tensors that a parameter keeps, of its own shape.

        Args:
            hyperparameters: Of the parameter's group, complete, one for each step to come.
        """

    @abstractmethod
    def coefficients(self, columns: Mapping[str, Tensor], steps: Tensor) -> list[Tensor]:
        """Compute the numbers that `update` needs.

        Args:
            columns: Each hyperparameter, ``[steps, parameters]``, float64.
            steps: How many steps a parameter will have made after each one, of the same shape.

        Returns:
            Tensors ``[steps, parameters]``.
        """

    @abstractmethod
    def update(self, weight: Tensor, grad: Tensor, slots: list[Tensor], k: list[Tensor]) -> None:
        """Change a weight and its slots in place; `k` are the coefficients, 0-dim tensors."""


class AdamRule(UpdateRule):
    """Adam (weight decay as a gradient) and AdamW (weights shrunk), bias-corrected.

    Source: `torch.optim.Adam`; rounded differently in the last bits, for one square root and one
    division per weight instead of one and three.
    """

    def slots(self, hyperparameters: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Name both moments."""
        return ("exp_avg", "exp_avg_sq")

    def coefficients(self, columns: Mapping[str, Tensor], steps: Tensor) -> list[Tensor]:
        """Compute the bias corrections in float64, as torch does on the CPU.

        In the graph, inductor would inline these powers into the loop over the weights: 60 us more
        for each step of an MLP of 100,000 weights.
        """
        lr, beta1, beta2 = columns["lr"], columns["beta1"], columns["beta2"]
        decay, decoupled = columns["weight_decay"], columns["decoupled_weight_decay"]
        step_size = lr / (1 - beta1**steps)
        correction = (1 - beta2**steps).rsqrt()
        minus_l2, shrink = decay * (decoupled - 1), 1 - lr * decay * decoupled
        return [
            minus_l2,
            shrink,
            1 - beta1,
            beta2,
            1 - beta2,
            step_size,
            correction,
            columns["eps"],
        ]

    def update(self, weight: Tensor, grad: Tensor, slots: list[Tensor], k: list[Tensor]) -> None:
        """Move the moments towards the gradient, and the weight against their quotient."""
        minus_l2, shrink, weight1, beta2, weight2, step_size, correction, eps = k
        exp_avg, exp_avg_sq = slots
        grad = grad - weight * minus_l2  # not +: see UpdateRule
        exp_avg.add_((grad - exp_avg) * weight1)
        exp_avg_sq.mul_(beta2).add_(grad * grad * weight2)
        step = exp_avg * step_size / (exp_avg_sq.sqrt() * correction + eps)
        weight.mul_(shrink).sub_(step)


class SGDRule(UpdateRule):
    """SGD, with or without momentum.

    Source: `torch.optim.SGD`. First steps, dampening, Nesterov and momenta that pass through zero
    differ in the coefficients alone, so that none of them needs a graph of its own.
    """

    def slots(self, hyperparameters: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Name the momentum buffer, if there is momentum at any of the steps."""
        return ("momentum_buffer",) if any(h["momentum"] for h in hyperparameters) else ()

    def coefficients(self, columns: Mapping[str, Tensor], steps: Tensor) -> list[Tensor]:
        """Compute: what the buffer keeps and takes, what the step takes of buffer and gradient."""
        momentum, nesterov = columns["momentum"], columns["nesterov"]
        moving, first = momentum != 0, steps == 1
        keeps = torch.where(moving, momentum, 1.0)
        takes = torch.where(first, 1.0, 1 - columns["dampening"]) * moving
        of_buffer = torch.where(nesterov != 0, momentum, 1.0) * moving
        of_gradient = torch.where(moving, nesterov, 1.0)
        return [columns["lr"], -columns["weight_decay"], keeps, takes, of_buffer, of_gradient]

    def update(self, weight: Tensor, grad: Tensor, slots: list[Tensor], k: list[Tensor]) -> None:
        """Move the buffer, if there is one, and the weight."""
        lr, minus_decay, keeps, takes, of_buffer, of_gradient = k
        grad = grad - weight * minus_decay  # not +: see UpdateRule
        for buffer in slots:
            buffer.mul_(keeps).add_(grad * takes)
            grad = buffer * of_buffer + grad * of_gradient
        weight.sub_(grad * lr)


def rule_for(optimizer: Optimizer) -> UpdateRule:
    """Return the update of an optimizer that has no `optimizer_obstacle`."""
    return SGDRule() if isinstance(optimizer, SGD) else AdamRule()


def optimizer_obstacle(optimizer: Optimizer) -> str | None:
    """Say for a user why an optimizer's step cannot be compiled here; None when it can."""
    # Not isinstance: a subclass may compute something else.
    if type(optimizer) not in _COMPILED:
        return (
            f"the optimizer is {type(optimizer).__name__}, and only SGD, Adam and AdamW have a "
            "compiled update"
        )
    for option in _UNSUPPORTED_OPTIONS:
        if any(group.get(option) for group in optimizer.param_groups):
            return f"the optimizer's {option} is on, and the compiled update knows no {option}"
    if has_step_hooks(optimizer):
        return "the optimizer has step hooks, which a compiled update would not call"
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    dtypes = {p.dtype for p in parameters} - {torch.float32, torch.float64}
    if dtypes:
        return f"weights are {min(map(str, dtypes))}, and only float32 and float64 are compiled"
    return None


def scheduled_hyperparameters(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Note what the optimizer's groups say now, for the step that comes next."""
    return [
        {name: group[name] for name in _SCHEDULED if name in group}
        for group in optimizer.param_groups
    ]


class Updates:
    """What the coming steps do to each trained parameter: its slots, its numbers.

    Args:
        optimizer: One without an `optimizer_obstacle`.
        parameters: Those that get a gradient.
        hyperparameters: One for each step to come.

    Attributes:
        slot_names: For each parameter, the keys of its state tensors.

    Raises:
        ValueError: Not every step has one mapping for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Sequence[nn.Parameter],
        hyperparameters: Sequence[StepHyperparameters],
    ) -> None:
        num_groups = len(optimizer.param_groups)
        for step, groups in enumerate(hyperparameters):
            if len(groups) != num_groups:
                raise ValueError(
                    f"hyperparameters of step {step} are for {len(groups)} groups: the optimizer "
                    f"has {num_groups}"
                )
        self.optimizer, self.parameters = optimizer, parameters
        self.rule = rule_for(optimizer)
        self._complete = [
            [
                {**group, **changed}
                for group, changed in zip(optimizer.param_groups, groups, strict=True)
            ]
            for groups in hyperparameters
        ]
        group_of = {p: i for i, g in enumerate(optimizer.param_groups) for p in g["params"]}
        self._group_of = [group_of[p] for p in parameters]
        by_group = [self.rule.slots(steps) for steps in zip(*self._complete, strict=True)]
        self.slot_names = [by_group[group] for group in self._group_of]

    def coefficients(self) -> Tensor:
        """Compute all numbers of all steps, ``[steps, parameters, coefficients]``."""
        names = _columns(self._complete[0][0])
        # One tensor for all: at one for each, making them took as long as two steps.
        table = torch.tensor(
            [[[float(_value(g, name)) for name in names] for g in step] for step in self._complete],
            dtype=torch.float64,
        )
        columns = dict(zip(names, table[:, self._group_of].unbind(-1), strict=True))
        done = torch.tensor(self._steps_done(), dtype=torch.float64)
        steps = done + torch.arange(1, len(self._complete) + 1)[:, None]
        numbers = torch.stack(self.rule.coefficients(columns, steps), dim=-1)
        is_double = any(p.dtype == torch.float64 for p in self.parameters)
        return numbers.to(self.parameters[0].device, torch.float64 if is_double else torch.float32)

    def slots(self) -> list[Tensor]:
        """Find the state tensors of all parameters, creating those that are not there yet.

        Again for each play: loading a state replaces them.
        """
        found = []
        owners = zip(self.parameters, self._group_of, self.slot_names, strict=True)
        for parameter, group, names in owners:
            state = self.optimizer.state[parameter]
            if not _has(state, names):
                state.update(_state_of_torch(self.optimizer, parameter, self._complete[0][group]))
            for name in names:
                if state[name].stride() != parameter.stride():  # from another memory format
                    state[name] = torch.empty_like(parameter).copy_(state[name])
                found.append(state[name])
        return found

    def count_steps(self, num_steps: int) -> None:
        """Advance the optimizer's own count of its steps, where it keeps one."""
        states = [self.optimizer.state[parameter] for parameter in self.parameters]
        if counts := [state["step"] for state in states if "step" in state]:
            add_to_all(counts, num_steps)
        mark_as_stepped(self.optimizer)

    def _steps_done(self) -> list[float]:
        states = [self.optimizer.state.get(parameter, {}) for parameter in self.parameters]
        if counts := [state["step"] for state in states if "step" in state]:
            done = iter(torch.stack(counts).tolist())
            return [next(done) if "step" in state else 0.0 for state in states]
        # SGD keeps no count, and only asks whether a step is the first.
        pairs = zip(states, self.slot_names, strict=True)
        return [float(_has(state, names)) for state, names in pairs]


def _has(state: Mapping[str, Any], names: Sequence[str]) -> bool:
    return all(state.get(name) is not None for name in names)


def _columns(group: Mapping[str, Any]) -> list[str]:
    scheduled = [name for name in _SCHEDULED if name in group and name != "betas"]
    return scheduled + (["beta1", "beta2", "decoupled_weight_decay"] if "betas" in group else [])


def _value(group: Mapping[str, Any], name: str) -> Any:
    return group["betas"][int(name[-1]) - 1] if name in ("beta1", "beta2") else group[name]


def _state_of_torch(
    optimizer: Optimizer, parameter: nn.Parameter, group: Mapping[str, Any]
) -> dict[str, Any]:
    """Let torch itself make the state, in one step on zeros: its keys and types are its own."""
    scratch = torch.zeros_like(parameter)
    scratch.grad = torch.zeros_like(parameter)
    make: Any = type(optimizer)
    trial = make([{**group, "params": [scratch]}])
    trial.step()
    state = trial.state[scratch]
    for tensor in state.values():
        tensor.zero_()
    return dict(state)

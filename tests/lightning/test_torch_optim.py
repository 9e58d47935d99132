"""What the seam needs of torch's optimizers and schedulers."""

from __future__ import annotations

import warnings

import pytest
import torch
from support.contracts import Seam, contract
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CyclicLR,
    LambdaLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.optim.optimizer import register_optimizer_step_post_hook

optim = Seam("torch_optim")

OPTIMIZER = "torch.optim.optimizer.Optimizer"
SCHEDULER = "torch.optim.lr_scheduler"


def weight(gradient: float = 1.0) -> nn.Parameter:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), gradient)
    return parameter


@contract("torch", "hooks of step are kept in two dicts of the optimizer", see=OPTIMIZER)
@pytest.mark.parametrize("kind", ["pre", "post"])
def test_hooks_of_an_optimizers_step_are_seen(kind: str) -> None:
    optimizer = SGD([weight()], lr=0.1)
    assert not optim.has_step_hooks(optimizer)
    handle = getattr(optimizer, f"register_step_{kind}_hook")(lambda *_: None)
    assert optim.has_step_hooks(optimizer)
    handle.remove()
    assert not optim.has_step_hooks(optimizer)


@contract("torch", "global hooks of step are kept in two dicts of its module", see=OPTIMIZER)
def test_hooks_of_every_optimizers_step_are_seen() -> None:
    optimizer = SGD([weight()], lr=0.1)
    assert not optim.has_step_hooks(optimizer)
    handle = register_optimizer_step_post_hook(lambda *_: None)
    try:
        assert optim.has_step_hooks(optimizer)
    finally:
        handle.remove()
    assert not optim.has_step_hooks(optimizer)


@contract("torch", "torch.autograd._profiler_enabled tells", see="torch.autograd.profiler.profile")
def test_a_profiler_at_work_is_seen() -> None:
    assert not optim.is_profiling()
    with torch.autograd.profiler.profile():
        assert optim.is_profiling()
    assert not optim.is_profiling()


@contract(
    "torch",
    "a scheduler marks the step that it sets on an optimizer by _wrapped_by_lr_sched",
    see=f"{SCHEDULER}.LRScheduler",
)
def test_a_step_of_somebodys_own_is_seen_and_a_schedulers_is_not() -> None:
    optimizer = SGD([weight()], lr=0.1)
    assert not optim.step_is_replaced(optimizer)
    LambdaLR(optimizer, lambda _: 1.0)
    assert "step" in vars(optimizer), "a scheduler sets no step on the optimizer any more"
    assert not optim.step_is_replaced(optimizer)
    optimizer.step = lambda *_: None  # type: ignore[method-assign]
    assert optim.step_is_replaced(optimizer)


@contract(
    "torch",
    "the step of an optimizer's class is marked hooked and has the plain one in __wrapped__",
    see=f"{OPTIMIZER}.profile_hook_step",
)
@pytest.mark.parametrize("kind", [SGD, Adam], ids=lambda kind: kind.__name__)
def test_the_plain_step_does_the_same_without_hooks(kind: type[Optimizer]) -> None:
    hooked, plain = kind([weight()], lr=0.1), kind([weight()], lr=0.1)  # type: ignore[call-arg]
    calls: list[object] = []
    plain.register_step_pre_hook(lambda *_: calls.append(1))
    with torch.autograd.profiler.profile() as profile:
        optim.plain_step(kind)(plain)
    assert not any("Optimizer.step" in event.name for event in profile.function_events)
    hooked.step()
    assert calls == []
    assert torch.equal(plain.param_groups[0]["params"][0], hooked.param_groups[0]["params"][0])


@contract(
    "torch",
    "a scheduler asks _opt_called whether the optimizer has stepped",
    see=f"{SCHEDULER}.LRScheduler.step",
)
def test_a_scheduler_does_not_warn_of_an_optimizer_that_is_marked_as_stepped() -> None:
    def step_once(*, marked: bool) -> None:
        optimizer = SGD([weight()], lr=0.1)
        scheduler = LambdaLR(optimizer, lambda _: 1.0)
        if marked:
            optim.mark_as_stepped(optimizer)
        scheduler.step()

    with pytest.warns(UserWarning, match="before `optimizer.step"):
        step_once(marked=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step_once(marked=True)


@contract(
    "torch",
    "a fused optimizer has _step_supports_amp_scaling, and grad_scale and found_inf in its step",
    see="torch.amp.grad_scaler.GradScaler._maybe_opt_step and step",
)
@pytest.mark.parametrize("gradient", [2.0, float("inf")])
def test_a_fused_optimizer_knows_the_scale_in_its_step_and_skips_it_by_itself(
    gradient: float,
) -> None:
    parameter = weight()
    optimizer, scaler = SGD([parameter], lr=0.1, fused=True), torch.amp.GradScaler("cpu")
    assert optim.unscales_by_itself(optimizer)
    assert optim.scale_within_step(optimizer) is None
    assert not optim.skipped_its_step(optimizer)
    seen: list[tuple[float, bool]] = []

    def note(own: Optimizer, *_: object) -> None:
        seen.append((float(optim.scale_within_step(own)), optim.skipped_its_step(own)))

    optimizer.register_step_post_hook(note)
    scale = float(scaler.scale(torch.ones(())))
    parameter.grad = torch.full((2,), gradient * scale)
    scaler.step(optimizer)
    assert seen == [(scale, gradient == float("inf"))]
    assert torch.equal(parameter.detach(), torch.ones(2)) == (gradient == float("inf"))


@contract("torch", "other optimizers leave it to the scaler", see="torch.amp.grad_scaler")
def test_an_optimizer_that_is_not_fused_leaves_unscaling_to_the_scaler() -> None:
    optimizer = SGD([weight()], lr=0.1)
    assert not optim.unscales_by_itself(optimizer)
    assert optim.scale_within_step(optimizer) is None


@contract(
    "torch",
    "a scheduler keeps rates, one for each group, in base_lrs, max_lrs, _last_lr, min_lrs",
    see=SCHEDULER,
)
def test_the_lists_of_rates_are_found_and_what_is_changed_in_them_holds() -> None:
    optimizer = SGD([{"params": [weight()]}, {"params": [weight()], "lr": 0.2}], lr=0.1)
    optimizer.step()
    scheduler = LambdaLR(optimizer, lambda _: 1.0)
    found = {name: optim.rates_of(scheduler, name) for name in optim.MOVING_RATES}
    assert found == {"base_lrs": [0.1, 0.2], "max_lrs": None, "_last_lr": [0.1, 0.2]}
    assert optim.rates_of(scheduler, "min_lrs") is None
    optim.rates_of(scheduler, "base_lrs")[1] = 0.4
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.1, 0.4]
    plateau = ReduceLROnPlateau(optimizer, min_lr=0.01)
    assert optim.rates_of(plateau, "min_lrs") == [0.01, 0.01]
    cycle = CyclicLR(SGD([weight()], lr=0.1, momentum=0.9), base_lr=0.1, max_lr=[0.3])
    of_groups = {name: optim.rates_of(cycle, name) for name in optim.GROUP_LISTS}
    momentums = {"base_momentums": [0.8], "max_momentums": [0.9]}
    rates = {"base_lrs": [0.1], "max_lrs": [0.3], "_last_lr": [0.1]}
    assert of_groups == rates | momentums | {"min_lrs": None, "lr_lambdas": None}


@contract(
    "torch",
    "schedulers that are made of others keep them in _schedulers",
    see=f"{SCHEDULER}.SequentialLR and ChainedScheduler",
)
def test_the_schedulers_within_a_scheduler_are_found() -> None:
    optimizer = SGD([weight()], lr=0.1)
    inner = [ConstantLR(optimizer), ConstantLR(optimizer)]
    assert list(optim.inner_schedulers(SequentialLR(optimizer, inner, milestones=[1]))) == inner
    assert list(optim.inner_schedulers(ChainedScheduler(inner, optimizer))) == inner
    assert list(optim.inner_schedulers(inner[0])) == []


@contract("torch", "LBFGS asks for a closure, others do not", see="torch.optim.LBFGS.step")
def test_which_optimizers_require_a_closure_is_known() -> None:
    assert optim.requires_closure(torch.optim.LBFGS)
    assert not optim.requires_closure(SGD)
    assert not optim.requires_closure(Adam)

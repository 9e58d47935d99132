"""What the seam needs of torch's modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.contracts import Seam, contract
from torch import nn

modules = Seam("torch_modules")

SEE = "torch.nn.modules.module.Module"
NORMS = [nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.InstanceNorm1d(2), nn.SyncBatchNorm(2)]
DROPOUTS = [nn.Dropout(), nn.Dropout1d(), nn.Dropout2d(), nn.AlphaDropout()]


def name_of(value: object) -> str:
    return type(value).__name__


@contract("torch", "_NormBase is the base of batch and instance norms", see="batchnorm.py")
@pytest.mark.parametrize("norm", NORMS, ids=name_of)
def test_batch_norms_have_one_base_that_others_have_not(norm: nn.Module) -> None:
    assert isinstance(norm, modules.BATCH_NORM_BASE)
    assert not isinstance(nn.Linear(2, 2), modules.BATCH_NORM_BASE)


@contract("torch", "_DropoutNd is the base of all dropouts", see="torch/nn/modules/dropout.py")
@pytest.mark.parametrize("dropout", DROPOUTS, ids=name_of)
def test_dropouts_have_one_base_that_others_have_not(dropout: nn.Module) -> None:
    assert isinstance(dropout, modules.DROPOUT_BASE)
    assert not isinstance(nn.Identity(), modules.DROPOUT_BASE)


REGISTRATIONS: dict[str, Callable[[nn.Module], Any]] = {
    "forward": lambda m: m.register_forward_hook(lambda *_: None),
    "forward_pre": lambda m: m.register_forward_pre_hook(lambda *_: None),
    "backward": lambda m: m.register_full_backward_hook(lambda *_: None),
    "backward_pre": lambda m: m.register_full_backward_pre_hook(lambda *_: None),
}


@contract("torch", "a module keeps its hooks in four dicts", see=SEE)
@pytest.mark.parametrize("kind", REGISTRATIONS)
def test_hooks_of_a_module_are_seen(kind: str) -> None:
    layer = nn.Linear(2, 2)
    assert not modules.has_hooks(layer)
    handle = REGISTRATIONS[kind](layer)
    assert modules.has_hooks(layer)
    handle.remove()
    assert not modules.has_hooks(layer)


@contract(
    "torch",
    "a parameter keeps its hooks in _backward_hooks and _post_accumulate_grad_hooks",
    see="torch._tensor.Tensor.register_hook",
)
@pytest.mark.parametrize("kind", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_of_a_parameter_are_seen(kind: str) -> None:
    parameter = nn.Parameter(torch.ones(1))
    assert not modules.has_gradient_hooks(parameter)
    getattr(parameter, kind)(lambda _: None)
    assert modules.has_gradient_hooks(parameter)


@contract(
    "torch",
    "a module's parameters, buffers and children are in _parameters, _buffers, _modules",
    see=SEE,
)
def test_a_modules_attributes_are_all_but_tensors_and_children() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.weight = nn.Linear(2, 2), nn.Parameter(torch.ones(1))
            self.register_buffer("mean", torch.zeros(1))
            self.factor, self.table = 2.0, torch.ones(1)

    found = dict(modules.attributes_of(Net()))
    assert {"factor", "table", "training"} <= found.keys()
    # With them, a compiled step would think that each replaced value is another network.
    kept = [v for v in found.values() if isinstance(v, dict) and v.keys() & {"layer", "mean"}]
    assert kept == []


@contract(
    "torch",
    "compiling leaves _orig_mod or _compiled_call_impl on a module",
    see="torch._dynamo.eval_frame.OptimizedModule and Module.compile",
)
def test_a_compiled_module_is_known_wherever_it_is() -> None:
    layer = nn.Linear(2, 2)
    assert not modules.is_compiled(nn.Sequential(layer))
    assert modules.is_compiled(nn.Sequential(torch.compile(nn.Linear(2, 2))))
    layer.compile()
    assert modules.is_compiled(nn.Sequential(layer))


@contract("torch", "Module.__call__ calls _compiled_call_impl or _call_impl", see=SEE)
def test_a_module_can_be_called_through_something_else_and_forget_it_again() -> None:
    layer, seen = nn.Linear(2, 2), []
    layer.register_forward_hook(lambda *_: seen.append("hook"))
    plain, inputs = modules.uncompiled_call(layer), torch.ones(1, 2)

    def call(*args: Any) -> Any:
        seen.append("call")
        return plain(*args)

    expected = layer(inputs)
    seen.clear()
    modules.set_compiled_call(layer, call)
    assert torch.equal(layer(inputs), expected)
    assert seen == ["call", "hook"]
    seen.clear()
    copied = copy.deepcopy(layer)
    copied(inputs)
    assert seen == ["hook"], "a copy is called through it, too"
    assert [*layer.state_dict()] == ["weight", "bias"]
    modules.set_compiled_call(layer, None)
    layer(inputs)
    assert seen == ["hook", "hook"]


@contract("torch", "a module names its buffers that are not persistent", see=SEE)
def test_buffers_that_no_state_dict_has_are_found() -> None:
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    network[1].register_buffer("seen", torch.zeros(3), persistent=False)
    network[1].register_buffer("none", None, persistent=False)
    ((name, buffer),) = modules.temporary_buffers(network)
    assert name == "1.seen"
    assert buffer is network[1].seen

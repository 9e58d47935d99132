"""What the seam needs of torch's tensors."""

from __future__ import annotations

import torch
from support.contracts import Seam, contract

tensors = Seam("torch_tensors")


@contract("torch", "_foreach_norm takes an order and a dtype", see="torch._foreach_norm")
def test_norms_of_many_tensors_are_those_of_each() -> None:
    many = [torch.tensor([3.0, 4.0]), torch.ones(2, 2).half() * 200]
    own = tensors.norms_of_all(many[:1])
    assert [norm.item() for norm in own] == [5.0]
    wide = tensors.norms_of_all(many, torch.float32)
    assert [norm.item() for norm in wide] == [5.0, 400.0]
    assert {norm.dtype for norm in wide} == {torch.float32}


@contract("torch", "_foreach_sub_ and _foreach_add_ work in place", see="torch._foreach_sub_")
def test_many_tensors_are_changed_in_place() -> None:
    many = [torch.tensor([3.0]), torch.tensor([1.0, 2.0])]
    tensors.subtract_all(many, [torch.tensor([1.0]), torch.tensor([1.0, 1.0])])
    assert [tensor.tolist() for tensor in many] == [[2.0], [0.0, 1.0]]
    tensors.add_to_all(many, 2)
    assert [tensor.tolist() for tensor in many] == [[4.0], [2.0, 3.0]]


@contract("torch", "_version counts changes in place", see="torch.Tensor._version")
def test_a_change_in_place_gives_a_tensor_another_version() -> None:
    tensor = torch.ones(2)
    before = tensors.version_of(tensor)
    tensor + 1
    assert tensors.version_of(tensor) == before
    tensor += 1
    assert tensors.version_of(tensor) > before


@contract(
    "torch",
    "is_functorch_wrapped_tensor tells a tensor within vmap from others",
    see="torch._C._functorch",
)
def test_a_tensor_within_vmap_is_known() -> None:
    seen: list[bool] = []

    def double(value: torch.Tensor) -> torch.Tensor:
        seen.append(tensors.is_functorch_wrapped(value))
        return value * 2

    torch.vmap(double)(torch.ones(3))
    assert seen == [True]
    assert not tensors.is_functorch_wrapped(torch.ones(3))

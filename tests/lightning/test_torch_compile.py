"""What the seam needs of torch's compiler."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from support.contracts import Seam, contract
from torch import Tensor

compiler = Seam("torch_compile")


@contract(
    "torch",
    "errors of the compiler carry their cause in inner_exception",
    see="torch._dynamo.exc.BackendCompilerFailed",
)
def test_what_is_behind_an_error_of_the_compiler_is_found() -> None:
    def backend(*_: Any) -> Any:
        raise ArithmeticError("of the backend")

    with pytest.raises(compiler.DynamoError) as caught:
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(1))
    error: BaseException = caught.value
    while not isinstance(error, ArithmeticError):
        cause = compiler.cause_of(error)
        assert cause is not None, f"there is nothing behind {error!r}"
        error = cause
    torch.compiler.reset()


@contract(
    "torch",
    "what Dynamo cannot follow raises a TorchDynamoException",
    see="torch._dynamo.exc",
)
def test_a_plain_errors_cause_is_pythons_own() -> None:
    error = ValueError()
    error.__cause__ = KeyError("k")
    assert compiler.cause_of(error) is error.__cause__
    assert compiler.cause_of(KeyError()) is None
    assert issubclass(compiler.DynamoError, Exception)


@contract(
    "torch",
    "a missing C++ compiler raises InvalidCxxCompiler",
    see="torch._inductor.cpp_builder.get_cpp_compiler and torch._inductor.exc",
)
def test_a_missing_compiler_is_known() -> None:
    from torch._inductor import config, cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    cpp_builder.cpp_compiler_search.cache_clear()
    without = config.patch({"cpp.cxx": ("/no/such/compiler",)})
    with without, pytest.raises(InvalidCxxCompiler) as caught:
        cpp_builder.get_cpp_compiler()
    assert compiler.is_missing_compiler(caught.value)
    assert not compiler.is_missing_compiler(RuntimeError())


@pytest.mark.slow
@contract(
    "torch",
    "torch._inductor.compile takes a graph, examples and the option cpp_wrapper",
    see="torch._inductor.compile and torch.fx.experimental.proxy_tensor.make_fx",
)
def test_a_traced_function_gives_the_same_and_changes_its_arguments_in_place() -> None:
    def function(weight: Tensor, batch: Tensor) -> list[Tensor]:
        loss = (weight * batch).sum()
        weight.sub_(batch)
        return [loss]

    weight, batch = torch.full((3,), 2.0), torch.tensor([1.0, 2.0, 3.0])
    compiled = compiler.compile_traced(function, [weight, batch], {})
    assert weight.tolist() == [2.0, 2.0, 2.0], "tracing changes the examples"
    (loss,) = compiled(weight, batch)
    assert (loss.item(), weight.tolist()) == (12.0, [1.0, 0.0, -1.0])


@pytest.mark.slow
@contract(
    "torch",
    "dropout draws by aten.bernoulli_.float, which a decomposition replaces",
    see="torch.ops.aten.bernoulli_ and torch.nn.functional.dropout",
)
def test_dropouts_mask_is_drawn_by_what_is_put_in_its_place() -> None:
    def draw(mask: Tensor, p: float = 0.5, generator: Any = None) -> Tensor:
        return mask.fill_(1.0)

    def function(values: Tensor) -> list[Tensor]:
        return [torch.nn.functional.dropout(values, 0.5, training=True)]

    values = torch.ones(64)
    (outputs,) = compiler.compile_traced(function, [values], {compiler.BERNOULLI: draw})(values)
    assert outputs.tolist() == [2.0] * 64  # all are kept


@contract(
    "torch",
    "FakeTensorMode makes fake tensors of real ones, and operations on them know the shapes",
    see="torch._subclasses.fake_tensor.FakeTensorMode",
)
def test_fake_tensors_have_shapes_and_gradients_without_arithmetic() -> None:
    mode = compiler.FakeTensorMode()
    weight = mode.from_tensor(torch.ones(4, 3)).requires_grad_()
    inputs = mode.from_tensor(torch.ones(2, 4))
    with mode:
        outputs = inputs @ weight
        (gradient,) = torch.autograd.grad(outputs.sum(), [weight])
    assert (outputs.shape, gradient.shape) == ((2, 3), (4, 3))


@contract(
    "torch",
    "torch._inductor.compile_fx can be imported when it is needed",
    see="torch._inductor",
)
def test_the_compiler_is_imported_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert callable(compiler.import_inductor().compile)

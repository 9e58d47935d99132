"""The recorder of a plain PyTorch loop, against numbers that the loop computes itself."""

import contextlib
import copy
import itertools
import math
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Optimizer

import fourbeat
from fourbeat.base.errors import ConfigError, NonFiniteError
from fourbeat.recorder import Recorder, Records, read_records
from fourbeat.recorder.ranges import CLOSE_STEPS

OWN_BACKWARD = Tensor.backward
OWN_SCALER_STEP = torch.amp.GradScaler.step


@pytest.fixture(autouse=True)
def own_methods() -> Iterator[None]:
    yield
    assert Tensor.backward is OWN_BACKWARD
    assert torch.amp.GradScaler.step is OWN_SCALER_STEP


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Dropout(0.3), nn.Linear(8, 3))


def sgd(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def batches(num: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(2)
    targets = torch.arange(16) % 3
    return [(torch.randn(16, 4, generator=generator), targets) for _ in range(num)]


def norm(tensors: list[Tensor]) -> float:
    """By another library, in another precision."""
    return float(np.linalg.norm(np.concatenate([t.double().numpy().ravel() for t in tensors])))


class Loop:
    """Somebody's loop, and what it saw."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.losses: list[Tensor] = []
        self.gradients: list[list[Tensor]] = []
        self.weights = [self._weights()]

    def run(self, num_steps: int = 5) -> None:
        for inputs, targets in batches(num_steps):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(inputs), targets)
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.detach().float())
            self.gradients.append([p.grad.clone() for p in self.model.parameters()])
            self.weights.append(self._weights())

    def _weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.model.parameters()]


def watched(
    folder: Path, model: nn.Module | None = None, optimizer: Optimizer | None = None
) -> tuple[Loop, Records]:
    model = model or network()
    loop = Loop(model, optimizer or sgd(model))
    with fourbeat.watch(model, loop.optimizer, folder=folder, layers_every_n_steps=1):
        loop.run()
    return loop, read_records(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Loop, Records]:
    return watched(tmp_path_factory.mktemp("plain"))


def test_each_step_is_recorded(plain: tuple[Loop, Records]) -> None:
    steps = plain[1].steps
    assert steps.steps.tolist() == [0, 1, 2, 3, 4]
    assert steps.columns["batch_idx"].tolist() == [0, 1, 2, 3, 4]
    assert steps.columns["applied"].tolist() == [1] * 5
    assert steps.columns["lr/0"].tolist() == [np.float32(0.1)] * 5
    assert np.isnan(steps.columns["grad_norm_clipped"]).all()


def test_the_losses_are_those_of_the_loop(plain: tuple[Loop, Records]) -> None:
    loop, records = plain
    assert np.array_equal(records.steps.columns["loss"], torch.stack(loop.losses).numpy())


def test_the_gradients_are_those_of_the_loop(plain: tuple[Loop, Records]) -> None:
    loop, records = plain
    total = [torch.nn.utils.get_total_norm(each).item() for each in loop.gradients]
    np.testing.assert_allclose(records.grad_norm, total, rtol=1e-6)
    layers = records.steps.by_owner("grad_norm")
    assert list(layers) == ["0", "1", "3"]
    np.testing.assert_allclose(layers["0"], [norm(g[:2]) for g in loop.gradients], rtol=1e-6)
    np.testing.assert_allclose(layers["3"], [norm(g[4:]) for g in loop.gradients], rtol=1e-6)


def test_the_weights_and_updates_are_those_of_the_loop(plain: tuple[Loop, Records]) -> None:
    loop, records = plain
    after = [weights[4:] for weights in loop.weights[1:]]
    moved = [
        [new - old for new, old in zip(a[4:], b[4:], strict=True)]
        for b, a in itertools.pairwise(loop.weights)
    ]
    layers = records.layers
    assert layers.steps.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(
        layers.by_owner("weight_norm")["3"], list(map(norm, after)), rtol=1e-6
    )
    np.testing.assert_allclose(
        layers.by_owner("update_norm")["3"], list(map(norm, moved)), rtol=1e-6
    )


OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": sgd,
    "adam": lambda model: torch.optim.Adam(model.parameters()),
    "fused adamw": lambda model: torch.optim.AdamW(model.parameters(), fused=True),
    "two groups": lambda model: torch.optim.RMSprop([{"params": [p]} for p in model.parameters()]),
}


def ends(make_optimizer: Callable[[nn.Module], Optimizer], folder: Path | None) -> list[Tensor]:
    """What a training leaves behind, watched if there is a folder."""
    model = network()
    loop = Loop(model, make_optimizer(model))
    if folder:
        with fourbeat.watch(model, loop.optimizer, folder=folder, layers_every_n_steps=2):
            loop.run()
    else:
        loop.run()
    return [*model.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_watched_or_not_weights_and_random_numbers_are_the_same(
    tmp_path: Path, make_optimizer: Callable[[nn.Module], Optimizer]
) -> None:
    assert all(map(torch.equal, ends(make_optimizer, tmp_path), ends(make_optimizer, None)))


def test_micro_batches_add_up(tmp_path: Path) -> None:
    model = network()
    optimizer, losses = sgd(model), []
    with fourbeat.watch(model, optimizer, folder=tmp_path):
        for index, (inputs, targets) in enumerate(batches(6)):
            loss = F.cross_entropy(model(inputs), targets) / 3
            loss.backward()
            losses.append(loss.detach())
            if index % 3 == 2:
                gradients = [p.grad.clone() for p in model.parameters()]
                optimizer.step()
                optimizer.zero_grad()
    records = read_records(tmp_path)
    expected = torch.stack(losses).double().view(2, 3).sum(1).numpy()
    np.testing.assert_allclose(records.steps.columns["loss"], expected, rtol=1e-6)
    assert records.steps.columns["batch_idx"].tolist() == [2, 5]
    assert records.grad_norm[1] == pytest.approx(norm(gradients), rel=1e-6)


def run_watched(loop: Loop, num_steps: int, error: type[BaseException], **options: Any) -> None:
    with fourbeat.watch(loop.model, loop.optimizer, **options):
        loop.run(num_steps)
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_recorded_before_an_error_is_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    model = network()
    loop = Loop(model, sgd(model))
    with pytest.raises(error):
        run_watched(loop, 3, error, folder=tmp_path, layers_every_n_steps=1)
    loop.run(2)
    records = read_records(tmp_path)
    assert records.steps.steps.tolist() == records.layers.steps.tolist() == [0, 1, 2]
    assert not loop.optimizer._optimizer_step_pre_hooks
    assert not loop.optimizer._optimizer_step_post_hooks
    assert not torch.nn.modules.module._global_forward_hooks


@pytest.mark.parametrize("first_closed", [0, 1])
def test_two_watches_observe_their_own_losses(tmp_path: Path, first_closed: int) -> None:
    models = [network(), network()]
    loops = [Loop(model, sgd(model)) for model in models]
    contexts = [
        fourbeat.watch(loop.model, loop.optimizer, folder=tmp_path / str(i))
        for i, loop in enumerate(loops)
    ]
    for context in contexts:
        context.__enter__()
    loops[0].run(1)
    loops[1].run(2)
    contexts[first_closed].__exit__(None, None, None)
    loops[1 - first_closed].run(1)
    contexts[1 - first_closed].__exit__(None, None, None)
    for i, loop in enumerate(loops):
        found = read_records(tmp_path / str(i)).steps.columns["loss"]
        assert np.array_equal(found, torch.stack(loop.losses).numpy())


def test_a_second_watch_continues_the_count(tmp_path: Path) -> None:
    first, _ = watched(tmp_path)
    second, records = watched(tmp_path)
    assert records.steps.steps.tolist() == list(range(10))
    expected = torch.stack(first.losses + second.losses).numpy()
    assert np.array_equal(records.steps.columns["loss"], expected)
    assert records.steps.columns["batch_idx"].tolist() == [0, 1, 2, 3, 4] * 2


def test_steps_made_again_replace_those_recorded(tmp_path: Path) -> None:
    first, _ = watched(tmp_path)
    with fourbeat.watch(first.model, first.optimizer, folder=tmp_path, first_step=3):
        first.run(4)
    records = read_records(tmp_path)
    assert records.steps.steps.tolist() == list(range(7))
    expected = torch.stack(first.losses[:3] + first.losses[5:]).numpy()
    assert np.array_equal(records.steps.columns["loss"], expected)


def test_around_a_spike_the_layers_are_measured_closely(tmp_path: Path) -> None:
    model = network().eval()  # without dropout, so that the losses are alike
    optimizer = sgd(model)
    jump = 30
    with fourbeat.watch(model, optimizer, folder=tmp_path, layers_every_n_steps=1000):
        for step in range(45):
            inputs, targets = batches(1)[0]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            (loss * (1000 if step == jump else 1)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    rows = read_records(tmp_path).layers
    assert rows.steps.tolist() == [0, *range(jump, jump + CLOSE_STEPS + 1)]
    assert np.isfinite(rows.columns["update_norm/0"]).all()


def test_the_epoch_is_the_one_that_was_set(tmp_path: Path) -> None:
    model = network()
    loop = Loop(model, sgd(model))
    with fourbeat.watch(model, loop.optimizer, folder=tmp_path) as recorder:
        assert isinstance(recorder, Recorder)
        for recorder.epoch in range(2):
            loop.run(2)
    steps = read_records(tmp_path).steps
    assert steps.columns["epoch"].tolist() == [0, 0, 1, 1]
    assert steps.columns["batch_idx"].tolist() == [0, 1, 2, 3]


def wrong(case: str, folder: Path) -> dict:
    model = network()
    right = {"model": model, "optimizer": sgd(model), "folder": folder}
    return {
        "another model": {**right, "model": network()},
        "frozen": {**right, "model": network().requires_grad_(False)},
        "layers": {**right, "layers_every_n_steps": 0},
    }[case]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("another model", r"optimizer: has none of the weights .* Try SGD\(model.parameters\(\)\)"),
        ("frozen", "optimizer: has none of the weights of the model that are trained"),
        ("layers", "layers_every_n_steps=0: must be 1 or more. Try 100"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, case: str, message: str) -> None:
    arguments = wrong(case, tmp_path / "new")
    with pytest.raises(ConfigError, match=message), fourbeat.watch(**arguments):
        pass
    assert not (tmp_path / "new").exists()


def test_two_watches_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    model = network()
    options = {"model": model, "optimizer": sgd(model)}
    with fourbeat.watch(**options, folder=tmp_path):
        again = fourbeat.watch(**options, folder=str(tmp_path / "x" / ".."))
        with pytest.raises(ConfigError, match="another watch is writing to it"), again:
            pass
    with fourbeat.watch(**options, folder=tmp_path):
        pass


def step_once(folder: Path, play: Callable[[nn.Module, Tensor], None]) -> tuple[Loop, Records]:
    """One step, differentiated in a way of its own."""
    model = network()
    loop = Loop(model, sgd(model))
    with fourbeat.watch(model, loop.optimizer, folder=folder, layers_every_n_steps=1):
        play(model, batches(1)[0][0])
        loop.gradients.append([p.grad.clone() for p in model.parameters()])
        loop.optimizer.step()
    return loop, read_records(folder)


def backward_of_a_vector(model: nn.Module, inputs: Tensor) -> None:
    outputs = model(inputs)
    outputs.backward(gradient=torch.ones_like(outputs))


def backward_of_a_function(model: nn.Module, inputs: Tensor) -> None:
    torch.autograd.backward(model(inputs).sum())


@pytest.mark.parametrize(
    ("play", "batch_idx"), [(backward_of_a_vector, 0), (backward_of_a_function, -1)]
)
def test_without_a_scalar_loss_there_is_none(
    tmp_path: Path, play: Callable[[nn.Module, Tensor], None], batch_idx: int
) -> None:
    loop, records = step_once(tmp_path, play)
    (loss,) = records.steps.columns["loss"]
    assert math.isnan(loss)
    assert records.grad_norm.tolist() == pytest.approx([norm(loop.gradients[0])], rel=1e-6)
    assert records.steps.columns["batch_idx"].tolist() == [batch_idx]


class Marked(Tensor):
    """Torch intercepts its methods' calls and makes them again."""


def backward_zeroed_and_again(model: nn.Module, inputs: Tensor) -> None:
    (model(inputs).sum() * 100).backward()
    model.zero_grad()
    model(inputs).mean().mul(0).add(2).backward()


def backward_of_a_subclass(model: nn.Module, inputs: Tensor) -> None:
    model(inputs).mean().mul(0).add(2).as_subclass(Marked).backward()


def backward_then_changed(model: nn.Module, inputs: Tensor) -> None:
    loss = model(inputs).mean().mul(0).add(2)
    loss.backward()
    loss.detach().add_(7)


def backward_of_another_model_too(model: nn.Module, inputs: Tensor) -> None:
    model(inputs).mean().mul(0).add(2).backward()
    nn.Linear(4, 1)(inputs).sum().backward()


def backward_of_one_element(model: nn.Module, inputs: Tensor) -> None:
    model(inputs).mean().mul(0).add(2).view(1).backward()


@pytest.mark.parametrize(
    "play",
    [
        backward_zeroed_and_again,
        backward_of_a_subclass,
        backward_then_changed,
        backward_of_another_model_too,
        backward_of_one_element,
    ],
)
def test_the_loss_is_that_of_the_step(
    tmp_path: Path, play: Callable[[nn.Module, Tensor], None]
) -> None:
    assert step_once(tmp_path, play)[1].steps.columns["loss"].tolist() == [2]


@contextlib.contextmanager
def wrapped(calls: list[Tensor]) -> Iterator[Callable[..., None]]:
    """Another tool at work on the same method."""
    between = Tensor.backward

    def wrapper(loss: Tensor) -> None:
        calls.append(loss)
        between(loss)

    Tensor.backward = wrapper
    yield wrapper
    Tensor.backward = OWN_BACKWARD


def test_a_wrapper_of_somebody_else_stays(tmp_path: Path) -> None:
    model, calls = network(), []
    loop = Loop(model, sgd(model))
    options = {"model": model, "optimizer": loop.optimizer, "folder": tmp_path}
    with contextlib.ExitStack() as stack:
        with fourbeat.watch(**options):
            wrapper = stack.enter_context(wrapped(calls))
            loop.run(1)
        loop.run(1)
        assert Tensor.backward is wrapper
        with fourbeat.watch(**options):
            loop.run(1)
        assert Tensor.backward is wrapper
    assert len(calls) == 3
    found = read_records(tmp_path).steps.columns["loss"].tolist()
    assert found == [loop.losses[0].item(), loop.losses[2].item()]


def run_into(loop: Loop, value: float, folder: Path) -> None:
    with fourbeat.watch(loop.model, loop.optimizer, folder=folder, stop_on_nan=True):
        loop.run(2)
        loop.model[0].weight.register_hook(lambda gradient: gradient * 0 + value)
        loop.run(1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_ends_it(tmp_path: Path, value: float) -> None:
    model = network()
    loop = Loop(model, sgd(model))
    expected = f"the gradient of 0 is {value} at step 2; stopped before the weights were changed"
    with pytest.raises(NonFiniteError, match=expected) as raised:
        run_into(loop, value, tmp_path)
    assert str(raised.value).endswith("Lower the learning rate, or clip the gradients.")
    assert all(map(torch.equal, loop.weights[2], model.parameters()))
    assert read_records(tmp_path).steps.steps.tolist() == [0, 1]


def test_without_a_stop_it_is_recorded(tmp_path: Path) -> None:
    model = network()
    model[0].weight.register_hook(lambda gradient: gradient * math.inf)
    _, records = watched(tmp_path, model)
    assert not np.isfinite(records.steps.columns["grad_norm/0"]).any()


class Closure:
    """Evaluates a loss in two micro-batches, and remembers."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.losses: list[Tensor] = []
        self.norms: list[float] = []

    def __call__(self) -> Tensor:
        self.optimizer.zero_grad()
        inputs, targets = batches(1)[0]
        halves = [F.cross_entropy(self.model(inputs[i::2]), targets[i::2]) / 2 for i in range(2)]
        for half in halves:
            half.backward()
        self.losses.append(torch.stack(halves).sum().detach())
        self.norms.append(norm([p.grad for p in self.model.parameters()]))
        return self.losses[-1]

    def step(self, as_option: bool = False) -> int:
        """Returns how often it had been called before."""
        num_calls = len(self.losses)
        _ = self.optimizer.step(closure=self) if as_option else self.optimizer.step(self)
        return num_calls


@pytest.mark.parametrize("as_option", [False, True], ids=["argument", "option"])
@pytest.mark.parametrize(
    "optimizer",
    [partial(torch.optim.LBFGS, max_iter=4), torch.optim.SGD],
    ids=["LBFGS", "SGD"],
)
def test_of_a_closure_the_first_call_counts(
    tmp_path: Path, optimizer: Callable[..., Optimizer], as_option: bool
) -> None:
    model = network()
    closure = Closure(model, optimizer(model.parameters(), lr=0.1))
    with fourbeat.watch(model, closure.optimizer, folder=tmp_path, layers_every_n_steps=1):
        starts = [closure.step(as_option) for _ in range(3)]
    records = read_records(tmp_path)
    assert records.steps.columns["loss"].tolist() == [closure.losses[i].item() for i in starts]
    np.testing.assert_allclose(records.grad_norm, [closure.norms[i] for i in starts], rtol=1e-6)
    assert records.layers.by_owner("update_norm")["0"].min() > 0

    unwatched = network()
    again = Closure(unwatched, optimizer(unwatched.parameters(), lr=0.1))
    assert [again.step(as_option) for _ in range(3)] == starts
    assert all(map(torch.equal, model.parameters(), unwatched.parameters()))


class IgnoresItsClosure(torch.optim.SGD):
    def step(self, closure: object = None) -> None:
        super().step()


def test_a_closure_that_is_never_called_hides_no_step(tmp_path: Path) -> None:
    model = network()
    ours = IgnoresItsClosure(model.parameters(), lr=0.1)
    with fourbeat.watch(model, ours, folder=tmp_path):
        model(batches(1)[0][0]).sum().backward()
        ours.step(lambda: None)
    assert read_records(tmp_path).grad_norm[0] > 0


def test_a_step_that_calls_that_of_its_base_class_is_one_step(tmp_path: Path) -> None:
    model = network()
    torch.optim.SGD(model.parameters())  # torch marks the base class when it is first used
    loop, records = watched(tmp_path, model, IgnoresItsClosure(model.parameters(), lr=0.1))
    assert records.steps.steps.tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(records.steps.columns["loss"], torch.stack(loop.losses).numpy())


def test_sparse_gradients_are_measured(tmp_path: Path) -> None:
    model = nn.Embedding(10, 3, sparse=True)
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.1)
    gradients, losses, weights = [], [], [model.weight.detach().clone()]
    with fourbeat.watch(model, optimizer, folder=tmp_path, layers_every_n_steps=1):
        for index in range(3):
            optimizer.zero_grad()
            loss = model(torch.tensor([index, 3, 3])).pow(2).sum()
            loss.backward()
            optimizer.step()
            gradients.append([model.weight.grad.to_dense()])
            weights.append(model.weight.detach().clone())
            losses.append(loss.item())
    records = read_records(tmp_path)
    np.testing.assert_allclose(records.grad_norm, list(map(norm, gradients)), rtol=1e-6)
    assert records.steps.columns["loss"].tolist() == losses
    moved = [norm([new - old]) for old, new in itertools.pairwise(weights)]
    found = records.layers.columns["update_norm/(root)"]
    np.testing.assert_allclose(found, moved, rtol=1e-5)


def test_weights_without_gradients_count_nothing(tmp_path: Path) -> None:
    model = network()
    model.unused, model.frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    optimizer = sgd(model)
    with fourbeat.watch(model, optimizer, folder=tmp_path, layers_every_n_steps=1):
        model[0](batches(1)[0][0]).sum().backward()
        optimizer.step()
    records = read_records(tmp_path)
    norms = records.steps.by_owner("grad_norm")
    assert "frozen" not in norms
    assert norms["unused"].tolist() == norms["3"].tolist() == [0]
    assert records.layers.by_owner("update_norm")["unused"].tolist() == [0]
    assert norms["0"][0] > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_measured(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3).to(dtype)
    optimizer, losses, gradients = sgd(model), [], []
    with fourbeat.watch(model, optimizer, folder=tmp_path):
        for inputs, targets in batches(3):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs.to(dtype)), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.float().item())
            gradients.append([p.grad for p in model.parameters()])
    records = read_records(tmp_path)
    assert records.steps.columns["loss"].tolist() == losses
    assert records.grad_norm[-1] == pytest.approx(norm(gradients[-1]), rel=1e-5)


def test_weights_of_several_precisions_are_measured(tmp_path: Path) -> None:
    model = nn.ModuleList([nn.Linear(4, 1).bfloat16(), nn.Linear(4, 1).double()])
    optimizer = sgd(model)
    with fourbeat.watch(model, optimizer, folder=tmp_path, layers_every_n_steps=1):
        inputs = batches(1)[0][0]
        (model[0](inputs.bfloat16()).float() + model[1](inputs.double())).sum().backward()
        optimizer.step()
    expected = norm([p.grad for p in model.parameters()])
    assert read_records(tmp_path).grad_norm[0] == pytest.approx(expected, rel=1e-6)


def scaled_loop(
    model: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler, *, unscales: bool
) -> tuple[list[float], list[float]]:
    """The third batch of five is more than the scale allows for."""
    losses, scales = [], []
    for index, (inputs, targets) in enumerate(batches(5)):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets) * (1e36 if index == 2 else 1)
        scaler.scale(loss).backward()
        scales.append(scaler.get_scale())
        if unscales:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses, scales


@pytest.mark.parametrize("unscales", [False, True], ids=["by itself", "unscaled before"])
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_a_scaler_is_seen_through(tmp_path: Path, fused: bool, unscales: bool) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    with fourbeat.watch(
        model, optimizer, folder=tmp_path / "on", scaler=scaler, layers_every_n_steps=1
    ):
        losses, scales = scaled_loop(model, optimizer, scaler, unscales=unscales)
    records = read_records(tmp_path / "on")
    assert records.steps.columns["applied"].tolist() == [1, 1, 0, 1, 1]
    assert records.steps.columns["loss_scale"].tolist() == scales
    found = records.steps.columns["loss"]
    assert np.delete(found, 2).tolist() == np.float32(np.delete(losses, 2)).tolist()
    assert records.layers.by_owner("update_norm")["0"][2] == 0

    unscaled = network()
    _, reference = watched(tmp_path / "off", unscaled, torch.optim.Adam(unscaled.parameters()))
    np.testing.assert_allclose(records.grad_norm[:2], reference.grad_norm[:2], rtol=1e-5)
    assert not np.isfinite(records.grad_norm[2])


def test_a_scaler_that_is_off_is_none(tmp_path: Path) -> None:
    model = network()
    optimizer, scaler = sgd(model), torch.amp.GradScaler("cpu", enabled=False)
    with fourbeat.watch(model, optimizer, folder=tmp_path, scaler=scaler):
        losses, _ = scaled_loop(model, optimizer, scaler, unscales=True)
    columns = read_records(tmp_path).steps.columns
    np.testing.assert_array_equal(columns["loss"], np.float32(losses))
    assert columns["loss_scale"].tolist() == columns["applied"].tolist() == [1] * 5


def test_of_two_optimizers_one_scaler_is_seen_through(tmp_path: Path) -> None:
    model, other = network(), network()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    with fourbeat.watch(model, sgd(model), folder=tmp_path, scaler=scaler):
        scaled_loop(other, sgd(other), scaler, unscales=False)
    assert not len(read_records(tmp_path).steps)


def test_a_learning_rate_is_recorded_as_it_was(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.5))
    loop = Loop(model, optimizer)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    with fourbeat.watch(model, optimizer, folder=tmp_path):
        loop.run(1)
        scheduler.step()
        loop.run(1)
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
        loop.run(1)
    assert read_records(tmp_path).steps.columns["lr/0"].tolist() == [0.5, 0.25, 0.25]


def test_a_copy_of_the_model_has_no_hooks_of_the_watch(tmp_path: Path) -> None:
    model = network()
    with fourbeat.watch(model, sgd(model), folder=tmp_path):
        copied = copy.deepcopy(model)
        assert b"fourbeat" not in pickle.dumps(model)
        model(batches(1)[0][0])
    assert not any(m._forward_hooks for m in [*copied.modules(), *model.modules()])

"""Compiled steps against the eager loop, which owes them nothing.

Most tests run the graph as it was traced, without inductor, which takes seconds for each graph.
"""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, Adam, AdamW, Optimizer

from fourbeat.compile.messages import CompileFailure
from fourbeat.compile.steps import CompiledResult, CompiledSteps, whole_step_obstacle
from fourbeat.compile.update import scheduled_hyperparameters
from fourbeat.data import TensorExecution
from fourbeat.lightning import torch_compile
from fourbeat.tasks import Supervised

BATCH_SIZE = 16
Build = Callable[[nn.Module], Optimizer]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second one, and lose much when cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Run graphs without compiling them; returns the steps in each graph that was made."""
    made: list[int] = []

    def keep(graph: nn.Module, examples: list[Tensor], options: dict[str, Any]) -> nn.Module:
        made.append(len(examples[-1]))
        return graph

    monkeypatch.setattr(torch_compile, "import_inductor", lambda: SimpleNamespace(compile=keep))
    return made


def digits(num_steps: int) -> tuple[Tensor, Tensor]:
    data = load_digits()
    rows = torch.arange(num_steps * BATCH_SIZE) % len(data.target)
    inputs = torch.tensor(data.data, dtype=torch.float32) / 16
    return inputs[rows], torch.tensor(data.target)[rows]


def mlp(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 16), *extra, nn.ReLU(), nn.Linear(16, 10))


def two_groups(kind: type[Optimizer], **arguments: Any) -> Build:
    """Weights, and biases without weight decay at a learning rate of their own."""

    def build(net: nn.Module) -> Optimizer:
        weights = [p for p in net.parameters() if p.ndim > 1]
        biases = {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0}
        return kind([{"params": weights}, biases | {"lr": 0.02}], **arguments)

    return build


def schedule(optimizer: Optimizer, step: int) -> None:
    """Move what a OneCycleLR moves."""
    for group in optimizer.param_groups:
        group["lr"] *= 0.999
        if group.get("momentum"):
            group["momentum"] = 0.9 - 0.1 * (step % 2)
        if "betas" in group:
            group["betas"] = (0.9 - 0.1 * (step % 2), 0.99)


def play_eagerly(
    net: nn.Module,
    optimizer: Optimizer,
    num_steps: int,
    clip: Callable[..., Any] = lambda parameters: None,
) -> Tensor:
    losses = []
    inputs, targets = digits(num_steps)
    for step in range(num_steps):
        rows = slice(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
        loss = nn.CrossEntropyLoss()(net(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        clip([p for group in optimizer.param_groups for p in group["params"]])
        optimizer.step()
        schedule(optimizer, step)
        losses.append(loss.detach())
    return torch.stack(losses)


def play_compiled(steps: CompiledSteps, optimizer: Optimizer, num_steps: int) -> Tensor:
    return play(steps, optimizer, num_steps).losses


def play(
    steps: CompiledSteps, optimizer: Optimizer, num_steps: int, *, measure: bool = False
) -> CompiledResult:
    hyperparameters = []
    for step in range(num_steps):
        hyperparameters.append(scheduled_hyperparameters(optimizer))
        schedule(optimizer, step)
    return steps.play(execution(num_steps), hyperparameters, measure=measure)


def execution(num_steps: int) -> TensorExecution:
    return TensorExecution(digits(num_steps), (BATCH_SIZE,) * num_steps, 0)


def compiled_steps(net: nn.Module, optimizer: Optimizer, **arguments: Any) -> CompiledSteps:
    return CompiledSteps(Supervised(net, nn.CrossEntropyLoss()), optimizer, **arguments)


def pair(build: Build, net: nn.Module) -> tuple[nn.Module, Optimizer, nn.Module, Optimizer]:
    twin = copy.deepcopy(net)
    return net, build(net), twin, build(twin)


def assert_same_training(
    net: nn.Module, optimizer: Optimizer, twin: nn.Module, twin_optimizer: Optimizer
) -> None:
    """Weights and state agree to 1e-4 of the largest value in each tensor, and in type.

    And to 1e-6: the gradient of a bias before a batch norm is nothing but rounding.
    """
    states = zip(
        flat(net.state_dict(), optimizer.state_dict()["state"]).items(),
        flat(twin.state_dict(), twin_optimizer.state_dict()["state"]).items(),
        strict=True,
    )
    for (name, actual), (expected_name, expected) in states:
        assert name == expected_name
        scale = expected.abs().max().item()
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * scale + 1e-6, msg=name)


def flat(weights: dict[str, Tensor], state: dict[int, dict[str, Tensor]]) -> dict[str, Tensor]:
    slots = {f"{i}.{name}": t for i, slots in state.items() for name, t in sorted(slots.items())}
    return {**weights, **slots}


OPTIMIZERS = {
    "sgd": two_groups(SGD, lr=0.05),
    "sgd-fused": two_groups(SGD, lr=0.05, momentum=0.9, fused=True),
    "nesterov": two_groups(SGD, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "dampening": two_groups(SGD, lr=0.05, momentum=0.9, dampening=0.5, weight_decay=0.01),
    "adam": two_groups(Adam, lr=0.002),
    "adam-l2": two_groups(Adam, lr=0.002, weight_decay=0.01, fused=True),
    "adamw": two_groups(AdamW, lr=0.002, weight_decay=0.1, fused=True),
}
CLIPS: dict[str, tuple[dict[str, Any], Callable[..., Any]]] = {
    "unclipped": ({}, lambda parameters: None),
    "norm": ({"gradient_clip_val": 0.5}, lambda parameters: clip_grad_norm_(parameters, 0.5)),
    "value": (
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        lambda parameters: clip_grad_value_(parameters, 0.01),
    ),
}


def assert_500_steps_agree(build: Build, clip: str) -> None:
    net, optimizer, twin, twin_optimizer = pair(build, mlp())
    arguments, clip_gradients = CLIPS[clip]
    steps = compiled_steps(net, optimizer, steps_per_call=2, **arguments)
    losses = torch.cat([play_compiled(steps, optimizer, 50) for _ in range(10)])
    expected = torch.cat(
        [play_eagerly(twin, twin_optimizer, 50, clip_gradients) for _ in range(10)]
    )
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-4)
    assert_same_training(net, optimizer, twin, twin_optimizer)


@pytest.mark.one_in(6)
@pytest.mark.parametrize(
    ("optimizer", "clip"),
    [(name, "unclipped") for name in OPTIMIZERS]
    + [(name, clip) for name in ("nesterov", "adamw") for clip in ("norm", "value")],
)
@pytest.mark.usefixtures("traced_only")
@pytest.mark.slow
def test_500_steps_end_where_the_eager_loop_ends(optimizer: str, clip: str) -> None:
    assert_500_steps_agree(OPTIMIZERS[optimizer], clip)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "clip"), [("nesterov", "value"), ("adam-l2", "unclipped"), ("adamw", "norm")]
)
def test_500_compiled_steps_end_where_the_eager_loop_ends(
    optimizer: str, clip: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert_500_steps_agree(OPTIMIZERS[optimizer], clip)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.usefixtures("traced_only")
def test_eager_and_compiled_steps_and_loaded_states_can_follow_each_other(build: Build) -> None:
    net, optimizer, twin, twin_optimizer = pair(build, mlp())
    steps = compiled_steps(net, optimizer, steps_per_call=3)
    play_eagerly(net, optimizer, 2)
    play_compiled(steps, optimizer, 4)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    play_compiled(steps, optimizer, 3)
    play_eagerly(net, optimizer, 2)
    for num_steps in (2, 4, 3, 2):
        play_eagerly(twin, twin_optimizer, num_steps)
    assert_same_training(net, optimizer, twin, twin_optimizer)


def norms_of(parameters: list[nn.Parameter]) -> Tensor:
    return torch.stack([p.grad.norm() for p in parameters if p.grad is not None])


def assert_norms_agree(clip: str) -> None:
    """With an eager loop's, and no weight differs from one of steps that were not measured."""
    net, optimizer, twin, twin_optimizer = pair(OPTIMIZERS["adamw"], mlp(Spare()))
    plain, plain_optimizer, *_ = pair(OPTIMIZERS["adamw"], copy.deepcopy(net))
    arguments, clip_gradients = CLIPS[clip]
    steps = compiled_steps(net, optimizer, steps_per_call=2, **arguments)
    played = play(steps, optimizer, 5, measure=True)
    play_compiled(compiled_steps(plain, plain_optimizer, **arguments), plain_optimizer, 5)
    assert all(map(torch.equal, net.state_dict().values(), plain.state_dict().values()))

    raw, clipped = [], []

    def clip_and_keep(parameters: list[nn.Parameter]) -> None:
        raw.append(norms_of(parameters))
        clip_gradients(parameters)
        clipped.append(norms_of(parameters))

    play_eagerly(twin, twin_optimizer, 5, clip_and_keep)
    assert played.norms is not None
    torch.testing.assert_close(played.norms, torch.stack(raw), rtol=1e-3, atol=1e-6)
    assert (played.clipped is None) == (clip == "unclipped")
    if played.clipped is not None:
        torch.testing.assert_close(played.clipped, torch.stack(clipped), rtol=1e-3, atol=1e-6)
    reached = [p for group in optimizer.param_groups for p in group["params"] if len(p) != 3]
    assert len(played.parameters) == len(reached) == 4
    assert all(p is q for p, q in zip(played.parameters, reached, strict=True))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.usefixtures("traced_only")
@pytest.mark.slow
def test_gradients_can_be_measured_within_the_graph(clip: str) -> None:
    assert_norms_agree(clip)


@pytest.mark.slow
def test_gradients_can_be_measured_within_the_compiled_graph() -> None:
    assert_norms_agree("norm")


@pytest.mark.slow
def test_no_more_than_two_graphs_whatever_the_schedule_and_the_number_of_steps(
    traced_only: list[int],
) -> None:
    net = mlp()
    optimizer = OPTIMIZERS["adamw"](net)
    steps = compiled_steps(net, optimizer, steps_per_call=3)
    for num_steps in (3, 6, 4, 8, 1, 2):
        play_compiled(steps, optimizer, num_steps)
    assert traced_only == [3, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("traced_only")
def test_momentum_may_pass_through_zero() -> None:
    net, optimizer, twin, twin_optimizer = pair(OPTIMIZERS["dampening"], mlp())
    steps = compiled_steps(net, optimizer, steps_per_call=2)
    for momentum in (0.9, 0.0, 0.5):
        for group in optimizer.param_groups + twin_optimizer.param_groups:
            group["momentum"] = momentum
        play_compiled(steps, optimizer, 2)
        play_eagerly(twin, twin_optimizer, 2)
    assert_same_training(net, optimizer, twin, twin_optimizer)


@pytest.mark.slow
@pytest.mark.usefixtures("traced_only")
def test_batch_norm_is_that_of_the_eager_loop() -> None:
    # Not Adam: it magnifies the rounding that is all the gradient of a bias before a batch norm.
    net, optimizer, twin, twin_optimizer = pair(OPTIMIZERS["nesterov"], mlp(nn.BatchNorm1d(16)))
    play_compiled(compiled_steps(net, optimizer, steps_per_call=3), optimizer, 7)
    play_eagerly(twin, twin_optimizer, 7)
    assert_same_training(net, optimizer, twin, twin_optimizer)


@pytest.mark.slow
def test_inductor_keeps_batch_norm_and_draws_the_same_dropout_in_calls_of_any_size() -> None:
    net, optimizer, twin, twin_optimizer = pair(
        OPTIMIZERS["nesterov"], mlp(nn.BatchNorm1d(16), nn.Dropout(0.5))
    )
    torch.manual_seed(1)
    losses = play_compiled(compiled_steps(net, optimizer, steps_per_call=2), optimizer, 4)
    torch.manual_seed(1)
    one_by_one = compiled_steps(twin, twin_optimizer, steps_per_call=1)
    expected = play_compiled(one_by_one, twin_optimizer, 4)
    torch.testing.assert_close(losses, expected)
    assert_same_training(net, optimizer, twin, twin_optimizer)


@pytest.mark.slow
def test_evaluation_mode_and_other_attributes_are_noticed(traced_only: list[int]) -> None:
    net, optimizer, twin, twin_optimizer = pair(OPTIMIZERS["sgd"], mlp(nn.Dropout(0.5)))
    steps = compiled_steps(net, optimizer, steps_per_call=1)
    for change in (lambda n: n.eval(), lambda n: n.train(), lambda n: setattr(n[1], "p", 0.0)):
        change(net)
        play_compiled(steps, optimizer, 2)
        if len(traced_only) == 1:
            play_eagerly(twin.eval(), twin_optimizer, 2)
            assert_same_training(net, optimizer, twin, twin_optimizer)
    assert traced_only == [1, 1, 1]


class Spare(nn.Module):
    """Has a parameter without a part in the output, and replaces a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(3))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + len(x)
        return x


@pytest.mark.usefixtures("traced_only")
def test_frozen_and_unused_parameters_are_left_alone_and_replaced_buffers_kept() -> None:
    net = mlp(Spare())
    net[0].weight.requires_grad_(False)
    net, optimizer, twin, twin_optimizer = pair(OPTIMIZERS["adamw"], net)
    play_compiled(compiled_steps(net, optimizer), optimizer, 3)
    play_eagerly(twin, twin_optimizer, 3)
    assert_same_training(net, optimizer, twin, twin_optimizer)
    assert net[1].unused not in optimizer.state


@pytest.mark.usefixtures("traced_only")
def test_autocast_covers_forward_and_loss() -> None:
    net = mlp()
    optimizer = SGD(net.parameters(), lr=0.0)
    loss = {
        name: play_compiled(compiled_steps(net, optimizer, autocast=context), optimizer, 1)
        for name, context in {
            "float32": nullcontext,
            "bf16": lambda: torch.autocast("cpu", torch.bfloat16),
        }.items()
    }
    with torch.autocast("cpu", torch.bfloat16):
        expected = play_eagerly(net, optimizer, 1)
    assert loss["bf16"] == expected
    assert loss["bf16"] != loss["float32"]


@pytest.mark.usefixtures("traced_only")
def test_a_scheduler_that_follows_does_not_warn_that_the_optimizer_has_not_stepped() -> None:
    net = mlp()
    optimizer = SGD(net.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    play_compiled(compiled_steps(net, optimizer), optimizer, 1)
    scheduler.step()


class Impure(nn.Module):
    def __init__(self, act: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.act = act
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.act(self)
        return x


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda module: setattr(module, "calls", module.calls + 1), "net.1 sets its own attribute"),
        (lambda module: random.random(), "draws random numbers from Python or numpy"),
        (lambda module: torch.rand(1).item(), r"torch cannot compile it \(\w+"),
    ],
    ids=["attribute", "python-random", "data-dependent"],
)
def test_a_forward_that_a_graph_cannot_repeat_is_refused(
    act: Callable[[nn.Module], Any], reason: str
) -> None:
    net = mlp(Impure(act))
    optimizer = OPTIMIZERS["adam"](net)
    with pytest.raises(CompileFailure, match=reason):
        play_compiled(compiled_steps(net, optimizer), optimizer, 1)
    assert net[1].calls == 0


@pytest.mark.slow
def test_without_a_compiler_nothing_has_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    net = mlp()
    optimizer = OPTIMIZERS["adam"](net)
    before = copy.deepcopy(net.state_dict())
    steps = compiled_steps(net, optimizer)
    no_compiler = config.patch({"cpp.cxx": ("/no/such/compiler",)})
    with no_compiler, pytest.raises(CompileFailure, match="no C\\+\\+ compiler on this machine"):
        play_compiled(steps, optimizer, 5)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not optimizer.state


class OwnSGD(SGD):
    pass


@pytest.mark.parametrize(
    ("build", "obstacle"),
    [
        (lambda net: torch.optim.LBFGS(net.parameters()), "the optimizer is LBFGS, and only SGD"),
        (lambda net: OwnSGD(net.parameters()), "the optimizer is OwnSGD"),
        (lambda net: Adam(net.parameters(), amsgrad=True), "amsgrad is on"),
        (lambda net: SGD(net.parameters(), maximize=True), "maximize is on"),
        (lambda net: SGD(net.bfloat16().parameters()), "weights are torch.bfloat16"),
        (lambda net: hooked(SGD(net.parameters())), "the optimizer has step hooks"),
    ],
    ids=["lbfgs", "subclass", "amsgrad", "maximize", "bfloat16", "hooks"],
)
def test_an_optimizer_without_a_compiled_update_is_an_obstacle(build: Build, obstacle: str) -> None:
    net = mlp()
    optimizer = build(net)
    assert obstacle in str(whole_step_obstacle(Supervised(net, nn.CrossEntropyLoss()), optimizer))
    with pytest.raises(CompileFailure, match=obstacle):
        compiled_steps(net, optimizer)


def hooked(optimizer: Optimizer) -> Optimizer:
    optimizer.register_step_post_hook(lambda *args: None)
    return optimizer


@pytest.mark.parametrize(
    ("hook", "obstacle"),
    [
        (lambda net: net[0].register_forward_hook(lambda *args: None), "layer net.0 has hooks"),
        (lambda net: net.register_full_backward_hook(lambda *args: None), "layer net has hooks"),
        (lambda net: net[0].weight.register_hook(lambda grad: None), "parameter net.0.weight has"),
    ],
    ids=["layer", "network", "parameter"],
)
def test_hooks_are_an_obstacle(hook: Callable[[nn.Module], Any], obstacle: str) -> None:
    net = mlp()
    optimizer = SGD(net.parameters())
    assert whole_step_obstacle(Supervised(net, nn.CrossEntropyLoss()), optimizer) is None
    steps = compiled_steps(net, optimizer)
    hook(net)
    assert obstacle in str(whole_step_obstacle(Supervised(net, nn.CrossEntropyLoss()), optimizer))
    with pytest.raises(CompileFailure, match=obstacle):
        play_compiled(steps, optimizer, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gradient_clip_algorithm": "l1"}, "'l1': it must be norm or value"),
        ({"steps_per_call": 0}, "steps_per_call is 0: it must be at least 1"),
    ],
    ids=["algorithm", "steps"],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    net = mlp()
    with pytest.raises(ValueError, match=message):
        compiled_steps(net, SGD(net.parameters()), **arguments)


def test_mini_batches_of_other_sizes_are_refused() -> None:
    net = mlp()
    optimizer = SGD(net.parameters())
    steps, hyperparameters = compiled_steps(net, optimizer), scheduled_hyperparameters(optimizer)
    inputs, targets = digits(2)
    short = TensorExecution((inputs[1:], targets[1:]), (16, 15), 0)
    with pytest.raises(ValueError, match=r"mini-batches of \(16, 15\) are not 2 of one size"):
        steps.play(short, [hyperparameters] * 2)
    with pytest.raises(ValueError, match=r"mini-batches of \(16, 16\) are not 3 of one size"):
        steps.play(execution(2), [hyperparameters] * 3)
    with pytest.raises(ValueError, match="step 0 are for 0 groups: the optimizer has 1"):
        steps.play(execution(2), [[], []])

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.project import compose
from torch import Tensor, nn

from fourbeat.base.errors import ConfigError
from fourbeat.config.leaves import instantiate
from fourbeat.data import DataModule
from fourbeat.preflight.dry_run import dry_run

IMAGE = (1, 28, 28)


class Conv(nn.Module):
    def __init__(self, in_channels: int = 1, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.conv(x)).mean((2, 3))
        out: Tensor = self.head(hidden)
        return out


class ReadsNumbers(nn.Module):
    """Cannot run on the meta device, which has no numbers to compare."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) if x.sum() == 0 else x


class Tuple(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x, x


class NeedsTwo(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        raise ValueError("depth is 0")


def huge() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10**9))


@pytest.mark.parametrize(
    ("build_net", "shape", "output"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), IMAGE, (2, 10)),
        (Conv, IMAGE, (2, 10)),
        (ReadsNumbers, IMAGE, (2, 784)),
        (lambda: nn.BatchNorm1d(3), (3,), (2, 3)),
        (huge, IMAGE, (2, 10**9)),
    ],
    ids=["linear", "conv", "reads_numbers", "batch_norm", "terabytes"],
)
def test_a_network_that_fits_gives_its_outputs_shape(
    build_net: Any, shape: tuple[int, ...], output: tuple[int, ...]
) -> None:
    assert dry_run(build_net, shape) == (torch.Size(output), [])


def fault_of(build_net: Any, shape: tuple[int, ...] = IMAGE, leaf: Any = None) -> str:
    output, (fault,) = dry_run(build_net, shape, leaf)
    assert output is None
    return str(fault)


@pytest.mark.parametrize(
    ("build_net", "message"),
    [
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 10)),
            "model: layer 1 (Linear) got the shape [2, 784] and wants [*, 100]. The data's inputs "
            "have the shape [1, 28, 28]; set the model's sizes to fit them.",
        ),
        (
            lambda: nn.Linear(100, 10),
            "model: the network itself (Linear) got the shape [2, 1, 28, 28] and wants "
            "[*, *, *, 100]. The data's inputs have the shape [1, 28, 28]; set the model's sizes "
            "to fit them.",
        ),
        (
            lambda: Conv(3),
            "model: layer conv (Conv2d) got the shape [2, 1, 28, 28] and wants [*, 3, *, *]. The "
            "data's inputs have the shape [1, 28, 28]; set the model's sizes to fit them.",
        ),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.LSTM(100, 10)),
            "model: layer 1 (LSTM) got the shape [2, 784] and wants [*, 100]. The data's inputs "
            "have the shape [1, 28, 28]; set the model's sizes to fit them.",
        ),
        (
            Tuple,
            "model: does not fit: it returns a tuple, not a tensor. "
            "The data's inputs have the shape [1, 28, 28].",
        ),
        (Broken, "model: cannot be built: depth is 0."),
    ],
    ids=["linear", "alone", "conv", "lstm", "tuple", "broken"],
)
def test_a_fault_names_the_layer_what_it_got_and_what_it_wants(
    build_net: Any, message: str
) -> None:
    assert fault_of(build_net) == message


def test_a_network_that_takes_other_arguments_says_so_itself() -> None:
    message = fault_of(NeedsTwo)
    assert "the network itself (NeedsTwo) got the shape [2, 1, 28, 28]: " in message
    assert "missing 1 required positional argument: 'y'" in message


MLP: dict[str, Any] = {"_target_": "project.models.MLP", "in_features": 100, "out_features": 10}


@pytest.mark.parametrize(
    ("leaf", "start"),
    [
        (MLP, "model.in_features=100: layer layers.0 (Linear) got"),
        ({**MLP, "hidden_features": [100]}, "model.in_features=100: layer layers.0 (Linear) got"),
        ({**MLP, "out_features": 100}, "model=project.models.MLP: layer layers.0 (Linear) got"),
    ],
    ids=["one_key", "inside_a_list", "two_keys"],
)
def test_the_key_that_has_the_size_is_named_if_there_is_only_one(
    leaf: dict[str, Any], start: str
) -> None:
    assert fault_of(lambda: instantiate(leaf), IMAGE, leaf).startswith(start)


def test_the_hint_is_the_size_to_set() -> None:
    message = fault_of(lambda: instantiate(MLP), IMAGE, MLP)
    assert message.endswith("inputs have the shape [1, 28, 28]: set model.in_features=784.")


@pytest.mark.parametrize("build_net", [Conv, ReadsNumbers, Broken], ids=lambda net: net.__name__)
def test_the_random_state_is_left_as_it_was(build_net: Any) -> None:
    state = torch.get_rng_state()
    dry_run(build_net, IMAGE)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_layer_that_takes_no_integers_is_named_with_the_type() -> None:
    output, (fault,) = dry_run(lambda: nn.Sequential(nn.Linear(5, 2)), (5,), dtype=torch.int64)
    assert (output, fault.code, fault.key) == (None, "shape-mismatch", "model")
    assert fault.allowed.startswith("layer 0 (Linear) got the shape [2, 5]: ")
    assert "have the shape [5] and the type torch.int64: choose a model" in fault.hint


def test_a_network_is_run_on_the_integers_that_are_announced() -> None:
    assert dry_run(lambda: nn.Embedding(7, 3), (5,), dtype=torch.int64) == ((2, 5, 3), [])


class Tokens(DataModule):
    """Announced, and given to a network that multiplies."""

    task, num_classes, num_samples, input_shape = "multiclass", 2, 40, (5,)
    input_dtype = torch.int64

    def load(self) -> tuple[Tensor, Tensor]:
        return torch.ones(40, 5, dtype=torch.int64), torch.arange(40) % 2


def test_tokens_and_the_default_network_are_a_fault_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match=r"got the shape .*the type torch\.int64"):
        compose("data=diabetes", f"data._target_={__name__}.Tokens", "data.batch_size=8")

"""Weights from anybody's file, under the names that they have in the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fourbeat.state.training_state import DamagedCheckpointError
from fourbeat.state.weights import fit_weights, read_weights

State = dict[str, Tensor]


def network(outputs: int = 2) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, outputs))


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = network()
        self.head = nn.Linear(2, 5)


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


FILES: dict[str, Callable[[State], dict[str, Any]]] = {
    "state_dict": lambda state: state,
    "lightning": lambda state: {
        "epoch": 3,
        "state_dict": {**prefixed(state, "net."), "criterion.weight": torch.ones(2)},
        "optimizer_states": [{"state": {}, "param_groups": []}],
    },
    "ddp": lambda state: prefixed(state, "module."),
    "compiled": lambda state: {"state_dict": prefixed(state, "model._orig_mod.")},
    "nested": lambda state: {"epoch": 1, "model": state, "optimizer": {"state": {}}},
}


@pytest.mark.parametrize("kind", FILES)
def test_all_weights_are_found_under_whatever_prefix(kind: str, tmp_path: Path) -> None:
    state = network().state_dict()
    torch.save(FILES[kind](state), tmp_path / "file.pt")
    fitted = fit_weights(read_weights(tmp_path / "file.pt"), network())
    assert fitted.values.keys() == state.keys()
    assert all(torch.equal(fitted.values[name], state[name]) for name in state)
    assert fitted.missing == fitted.mismatched == []
    assert fitted.unused == (["criterion.weight"] if kind == "lightning" else [])


@pytest.mark.parametrize("prefix", ["", "net."])
def test_a_network_may_hold_what_the_file_has_alone(prefix: str) -> None:
    fitted = fit_weights(prefixed(network().state_dict(), prefix), Wrapped())
    assert fitted.values.keys() == {f"backbone.{name}" for name in network().state_dict()}
    assert fitted.missing == ["head.weight", "head.bias"]


def test_a_head_of_another_shape_is_named_and_left_out() -> None:
    fitted = fit_weights(network(7).state_dict(), network())
    assert "2.weight" not in fitted.values
    assert fitted.mismatched == [
        "2.weight ([7, 4] in the file, [2, 4] in the network)",
        "2.bias ([7] in the file, [2] in the network)",
    ]
    assert len(fitted.values) == len(network().state_dict()) - 2


def test_layers_elsewhere_that_happen_to_have_the_shape_do_not_fit() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = network()

    fitted = fit_weights(prefixed(network().state_dict(), "encoder."), Other())
    assert fitted.values == {}


class Code:
    pass


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (network(), "could run code"),
        ({"state_dict": network().state_dict(), "hyper": Code()}, "could run code"),
        ({"epoch": 3}, "holds no weights: it has epoch"),
        ([1], "is no checkpoint"),
    ],
    ids=["module", "object", "no_weights", "list"],
)
def test_what_holds_no_weights_or_needs_code_is_refused_in_one_line(
    content: Any, why: str, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(DamagedCheckpointError, match=why) as raised:
        read_weights(tmp_path / "file.pt")
    assert "\n" not in str(raised.value)

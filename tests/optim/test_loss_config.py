from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from fourbeat.config.leaves import instantiate

CONF = Path(__file__).parents[2] / "conf" / "loss"


def loss_of(name: str, **overrides: Any) -> Any:
    return instantiate(
        {**OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml")), **overrides}
    )


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("name", "overrides", "outputs", "target", "expected"),
    [
        ("cross_entropy", {}, [[2.0, 1.0, 0.1]], [0], 0.4170),
        ("bce_with_logits", {}, [0.5, -2.0], [1.0, 0.0], (softplus(-0.5) + softplus(-2.0)) / 2),
        ("cross_entropy", {"weight": [3, 1]}, [[0.0, 0.0], [0.0, 1.0]], [0, 1], 0.5982),
        ("bce_with_logits", {"pos_weight": [3]}, [0.5, 0.5], [1.0, 0.0], 1.1982),
        ("mse", {}, [2.5, 3.1, 4.0], [3.0, 3.0, 4.0], 0.26 / 3),
        ("l1", {}, [2.5, 3.1, 4.0], [3.0, 3.0, 4.0], 0.6 / 3),
        ("huber", {}, [0.5, 3.0], [0.0, 0.0], (0.5 * 0.5**2 + 1.0 * (3.0 - 0.5)) / 2),
        ("huber", {"delta": 2.0}, [0.5, 3.0], [0.0, 0.0], (0.125 + 2.0 * (3.0 - 1.0)) / 2),
        ("auto", {"_target_": "torch.nn.MSELoss"}, [1.0], [3.0], 4.0),
    ],
    ids=[
        "cross_entropy",
        "bce_with_logits",
        "weight",
        "pos_weight",
        "mse",
        "l1",
        "huber",
        "huber_delta",
        "auto",
    ],
)
def test_every_loss_of_the_config_has_the_value_of_its_formula(
    name: str, overrides: dict[str, Any], outputs: Any, target: Any, expected: float
) -> None:
    value = loss_of(name, **overrides)(torch.tensor(outputs), torch.tensor(target))
    assert value.item() == pytest.approx(expected, abs=5e-5)


def test_label_smoothing_spreads_a_fraction_of_the_target_over_all_classes() -> None:
    log_probabilities = torch.log_softmax(torch.tensor([2.0, 1.0, 0.1]), dim=0)
    spread = torch.tensor([0.8 + 0.2 / 3, 0.2 / 3, 0.2 / 3])
    value = loss_of("cross_entropy", label_smoothing=0.2)(
        torch.tensor([[2.0, 1.0, 0.1]]), torch.tensor([0])
    )
    torch.testing.assert_close(value, -(spread * log_probabilities).sum())


def test_the_automatic_loss_is_left_to_the_data_set() -> None:
    config = OmegaConf.to_container(OmegaConf.load(CONF / "auto.yaml"), resolve=False)
    assert config == {"_target_": "${from_data:loss}"}


def test_every_loss_of_the_config_is_known_to_these_tests() -> None:
    assert {path.stem for path in CONF.glob("*.yaml")} == {
        "auto",
        "cross_entropy",
        "bce_with_logits",
        "mse",
        "l1",
        "huber",
        "none",
    }

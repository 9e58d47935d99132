"""The product's first promise: both loops end with bitwise identical weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fourbeat.training.components import Components

OPTIMIZERS = ["sgd", "momentum", "adam", "adamw"]
SCHEDULERS = ["constant", "step", "cosine", "onecycle", "linear_warmup_cosine", "plateau"]
ACCUMULATION = [1, 5]  # 12 batches an epoch: the last group of five has two
CLIPPING = {
    "unclipped": ["loop.gradient_clip_val=null"],
    "norm": ["loop.gradient_clip_val=0.05"],
    "value": ["loop.gradient_clip_val=0.01", "loop.gradient_clip_algorithm=value"],
}
PRECISIONS = ["32-true", "bf16-mixed", "16-mixed"]

Trained = tuple[dict[str, Tensor], list[float], int]


def trained(fit_components: Callable[..., Components], loop: str, *overrides: str) -> Trained:
    components = fit_components(f"loop={loop}", *overrides)
    rates = [group["lr"] for group in components.trainer.optimizers[0].param_groups]
    return components.module.net.state_dict(), rates, components.trainer.global_step


def assert_same(one: Trained, other: Trained) -> None:
    different = [name for name in one[0] if not torch.equal(one[0][name], other[0][name])]
    assert not different
    assert one[1:] == other[1:]


@pytest.mark.one_in(23)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("accumulate", ACCUMULATION, ids=lambda n: f"accumulate{n}")
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_both_loops_end_with_the_same_bits(
    fit_components: Callable[..., Components],
    optimizer: str,
    scheduler: str,
    accumulate: int,
    clipping: str,
    precision: str,
) -> None:
    overrides = [
        f"optim={optimizer}",
        f"scheduler={scheduler}",
        f"loop.accumulate_grad_batches={accumulate}",
        f"trainer.precision={precision}",
        *CLIPPING[clipping],
    ]
    four_beat = trained(fit_components, "four_beat", *overrides)
    assert_same(four_beat, trained(fit_components, "automatic", *overrides))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_both_loops_agree_on_the_mlp_with_dropout_and_batch_norm(
    fit_components: Callable[..., Components], precision: str
) -> None:
    overrides = [
        *("model=mlp", "model.hidden_features=[16,16]", "model.dropout=0.3", "model.norm=batch"),
        *(f"trainer.precision={precision}", "loop.gradient_clip_val=0.5"),
    ]
    four_beat = trained(fit_components, "four_beat", *overrides)
    assert_same(four_beat, trained(fit_components, "automatic", *overrides))

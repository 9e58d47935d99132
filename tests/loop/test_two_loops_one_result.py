"""The product's first promise: both loops end with bitwise identical weights."""

import re
from collections.abc import Callable

import pytest
import torch
from support.pairwise import pairwise
from torch import Tensor

from fourbeat.training.components import Components

SETTINGS = {
    "optimizer": [f"optim={name}" for name in ("sgd", "momentum", "adam", "adamw")],
    "scheduler": [
        f"scheduler={name}"
        for name in ("constant", "step", "cosine", "onecycle", "linear_warmup_cosine", "plateau")
    ],
    # 12 batches an epoch: the last group of five has two.
    "accumulation": ["", "loop.accumulate_grad_batches=5"],
    "clipping": [
        "",
        "loop.gradient_clip_val=0.05",
        "loop.gradient_clip_val=0.01 loop.gradient_clip_algorithm=value",
    ],
    "precision": [f"trainer.precision={name}" for name in ("32-true", "bf16-mixed", "16-mixed")],
    # The network of the circles; one that draws random numbers and keeps running statistics.
    "network": ["", "model=mlp model.hidden_features=[16,16] model.dropout=0.3 model.norm=batch"],
}
ROWS = [" ".join(filter(None, row)) for row in pairwise(SETTINGS)]

Trained = tuple[dict[str, Tensor], list[float], int]


def trained(fit_components: Callable[..., Components], loop: str, *overrides: str) -> Trained:
    components = fit_components(f"loop={loop}", *overrides)
    rates = [group["lr"] for group in components.trainer.optimizers[0].param_groups]
    return components.net.state_dict(), rates, components.trainer.global_step


def assert_same(one: Trained, other: Trained) -> None:
    different = [name for name in one[0] if not torch.equal(one[0][name], other[0][name])]
    assert not different
    assert one[1:] == other[1:]


@pytest.mark.one_in(99)
@pytest.mark.parametrize("overrides", ROWS, ids=[re.sub(r"\S+=", "", row) for row in ROWS])
def test_both_loops_end_with_the_same_bits(
    fit_components: Callable[..., Components], overrides: str
) -> None:
    four_beat = trained(fit_components, "four_beat", *overrides.split())
    assert_same(four_beat, trained(fit_components, "automatic", *overrides.split()))
